//! Typed messages: a request to bytes, bytes to a reply, both by the layout of the command.

use crate::{Error, Options};
use hostcmd::Code;
use hostcmd::command::Command;
use hostcmd::decode::LmkId;
use hostcmd::wire::{Message, Reader, Writer, from_ebcdic};

/// Appends code and body of a request.
pub(crate) fn write<C: Command>(
    mut request: C::Request,
    lmk: Option<LmkId>,
    options: &Options,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut writer = Writer::new(out, &options.settings, options.ebcdic, lmk);
    writer.put(&C::ABOUT.code);
    request.walk(&mut writer).map_err(Error::Request)?;
    writer.finish();
    Ok(())
}

/// Reads a reply behind its header. A refusal has a code and no body; an advice code comes with one.
pub(crate) fn read<C: Command>(raw: &[u8], options: &Options) -> Result<(Code, Option<C::Reply>), Error> {
    let converted: Vec<u8>;
    let text = if options.ebcdic {
        converted = raw.iter().map(|c| from_ebcdic(*c)).collect();
        converted.as_slice()
    } else {
        raw
    };
    let (reply_code, rest) = text.split_first_chunk::<2>().ok_or(Error::Reply)?;
    let (code, body) = rest.split_first_chunk::<2>().ok_or(Error::Reply)?;
    if *reply_code != C::ABOUT.reply_code() {
        return Err(Error::Reply);
    }
    let code = Code(*code);
    if code != Code::OK && body.is_empty() {
        return Ok((code, None));
    }
    let mut reader = Reader::new(text, raw, 4, &options.settings);
    let mut reply = C::Reply::default();
    reply.walk(&mut reader).and_then(|()| reader.finish()).map_err(|_| Error::Reply)?;
    Ok((code, Some(reply)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostcmd::commands::b2_echo::{Echo, Request};
    use hostcmd::wire::{Number, to_ebcdic};

    fn request() -> Request {
        Request { length: Number(4), data: b"ping".to_vec() }
    }

    #[test]
    fn requests_carry_the_selector_behind_the_body() {
        let mut out = Vec::new();
        write::<Echo>(request(), Some(LmkId(2)), &Options::default(), &mut out).unwrap();
        assert_eq!(out, b"B20004ping%02");
    }

    #[test]
    fn replies_are_checked_against_their_command() {
        let options = Options::default();
        let (code, reply) = read::<Echo>(b"B300ping", &options).unwrap();
        assert_eq!((code, reply.unwrap().data.as_slice()), (Code::OK, b"ping".as_slice()));
        let (code, reply) = read::<Echo>(b"B380", &options).unwrap();
        assert!(code == Code::DATA_LENGTH && reply.is_none());
        assert!(matches!(read::<Echo>(b"ND00", &options), Err(Error::Reply)));
        assert!(matches!(read::<Echo>(b"B30", &options), Err(Error::Reply)));
    }

    #[test]
    fn text_is_converted_for_an_ebcdic_port_and_data_is_not() {
        let options = Options { ebcdic: true, ..Options::default() };
        let mut out = Vec::new();
        write::<Echo>(request(), None, &options, &mut out).unwrap();
        let (text, data) = out.split_at(6);
        assert_eq!(text, b"B20004".map(to_ebcdic));
        assert_eq!(data, b"ping");
        let reply = [&b"B300".map(to_ebcdic)[..], b"ping"].concat();
        assert_eq!(read::<Echo>(&reply, &options).unwrap().1.unwrap().data, b"ping");
    }
}

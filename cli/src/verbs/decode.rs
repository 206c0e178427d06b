//! `payhsm decode`: a frame field by field.

use clap::{Args as ClapArgs, ValueEnum};
use hostcmd::decode::{Decoded, Decoder, LmkId, Way};
use hostcmd::{Port, Settings};
use serde::Serialize;
use std::io::{self, Read, Write};
use std::process::ExitCode;

const EXIT_DOES_NOT_HOLD: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Shows a request or reply field by field.
///
/// Keys, cryptograms and PIN blocks show their length only, account numbers their first six and last four
/// digits at most. Ends with 0 when every byte belongs to a field, and with 1 when not.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// The frame; standard input when it is missing or `-`.
    frame: Option<String>,
    /// How the frame is written. Text may hold escapes such as \x19.
    #[arg(long, value_enum, default_value = "auto")]
    from: Form,
    /// The frame is a reply. Without this and --request the command code decides.
    #[arg(long, conflicts_with = "request")]
    reply: bool,
    /// The frame is a request.
    #[arg(long)]
    request: bool,
    /// Whether the two-byte length stands in front.
    #[arg(long, value_enum, default_value = "auto")]
    length_field: LengthField,
    #[command(flatten)]
    pub(super) port: PortArgs,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// What must be known of a listener to read its frames.
#[derive(ClapArgs, Clone, Debug)]
pub(super) struct PortArgs {
    /// Length of the message header in bytes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8))]
    pub(super) header_len: u8,
    /// Text fields are in EBCDIC.
    #[arg(long)]
    pub(super) ebcdic: bool,
    /// Profile of the listener: it decides how long stored PINs are.
    #[arg(long, value_enum, default_value = "strict")]
    pub(super) profile: Profile,
    /// Shows keys, cryptograms, PIN blocks and whole account numbers.
    #[arg(long)]
    pub(super) reveal: bool,
}

impl PortArgs {
    pub(super) fn port(&self, header_length: usize) -> Port {
        let mut port = Port::new(LmkId(0), self.profile.settings());
        (port.header_length, port.ebcdic) = (header_length, self.ebcdic);
        port
    }
}

/// Settings by their name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Profile {
    Strict,
    Legacy,
}

impl Profile {
    pub(super) fn settings(self) -> Settings {
        match self {
            Self::Strict => Settings::STRICT,
            Self::Legacy => Settings::LEGACY,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Form {
    Auto,
    Text,
    Hex,
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum LengthField {
    Auto,
    Yes,
    No,
}

/// Runs the verb.
pub fn run(args: &Args) -> ExitCode {
    let input = match read_input(args.frame.as_deref()) {
        Ok(input) => input,
        Err(error) => return usage(&format!("standard input: {error}")),
    };
    let port = args.port.port(usize::from(args.port.header_len));
    let decoder = Decoder { port: &port, reveal: args.port.reveal };
    let Some(frame) = choose(&decoder, args, &input) else {
        return usage("the frame is not written in the form that --from names");
    };
    let way = match (args.reply, args.request) {
        (true, _) => Way::Reply,
        (_, true) => Way::Request,
        _ => decoder.guess(&frame),
    };
    let decoded = decoder.frame(way, &frame);
    if print(&decoded, args.json).is_err() || !decoded.is_whole() {
        return ExitCode::from(EXIT_DOES_NOT_HOLD);
    }
    ExitCode::SUCCESS
}

pub(super) fn usage(message: &str) -> ExitCode {
    let _nobody_listens = writeln!(io::stderr(), "payhsm: {message}");
    ExitCode::from(EXIT_USAGE)
}

fn read_input(argument: Option<&str>) -> io::Result<Vec<u8>> {
    match argument {
        Some(text) if text != "-" => Ok(text.as_bytes().to_vec()),
        _ => {
            let mut input = Vec::new();
            io::stdin().lock().read_to_end(&mut input)?;
            Ok(input)
        }
    }
}

// The first reading in which the command code is in the table; when there is none, the first that can be
// read at all, hexadecimal before text.
fn choose(decoder: &Decoder<'_>, args: &Args, input: &[u8]) -> Option<Vec<u8>> {
    let readings: Vec<Vec<u8>> = [Form::Text, Form::Hex, Form::Base64]
        .into_iter()
        .filter(|form| args.from == Form::Auto || args.from == *form)
        .filter_map(|form| read_form(form, input))
        .filter_map(|bytes| without_length(args.length_field, bytes))
        .collect();
    let known = |frame: &&Vec<u8>| decoder.frame(decoder.guess(frame), frame).row.is_some();
    let fallback = readings.get(1).or(readings.first());
    readings.iter().find(known).or(fallback).cloned()
}

fn read_form(form: Form, input: &[u8]) -> Option<Vec<u8>> {
    let dense = || input.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect::<Vec<u8>>();
    match form {
        Form::Hex => paytypes::hex::decode_vec(&dense()).ok(),
        Form::Base64 => base64(&dense()),
        Form::Text | Form::Auto => Some(unescape(input.strip_suffix(b"\n").unwrap_or(input))),
    }
}

fn without_length(rule: LengthField, bytes: Vec<u8>) -> Option<Vec<u8>> {
    if rule == LengthField::No {
        return Some(bytes);
    }
    let matching = bytes
        .split_first_chunk::<2>()
        .filter(|(length, rest)| usize::from(u16::from_be_bytes(**length)) == rest.len());
    match matching {
        Some((_, rest)) => Some(rest.to_vec()),
        None => (rule == LengthField::Auto).then_some(bytes),
    }
}

/// Bytes of text with `\xNN` and `\\`; other backslashes stand for themselves.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let byte = behind.strip_prefix(b"x").and_then(|digits| digits.first_chunk::<2>());
        match (first, byte.and_then(|digits| paytypes::hex::decode::<1>(digits).ok())) {
            (b'\\', Some([byte])) => {
                out.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                let doubled = *first == b'\\' && behind.first() == Some(&b'\\');
                rest = if doubled { behind.get(1..).unwrap_or_default() } else { behind };
            }
        }
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let data = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if data.is_empty() || data.len() % 4 == 1 {
        return None;
    }
    let (mut out, mut held, mut bits) = (Vec::new(), 0u32, 0u32);
    for c in data {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((held >> bits) & 0xFF).ok()?);
        }
    }
    Some(out)
}

/// A decoded frame as a JSON document.
#[derive(Serialize)]
pub(super) struct View<'a> {
    way: &'static str,
    command: Option<&'a str>,
    title: Option<&'a str>,
    code: Option<String>,
    meaning: Option<&'static str>,
    lmk: Option<String>,
    fields: Vec<FieldView<'a>>,
    left_over: usize,
    stopped: Option<String>,
    whole: bool,
}

#[derive(Serialize)]
struct FieldView<'a> {
    name: &'static str,
    at: usize,
    length: usize,
    text: &'a str,
    masked: bool,
}

pub(super) fn view(decoded: &Decoded) -> View<'_> {
    let fields = decoded.fields.iter().map(|f| FieldView {
        name: f.name,
        at: f.start,
        length: f.length,
        text: &f.text,
        masked: f.masked,
    });
    View {
        way: way_name(decoded.way),
        command: decoded.row.map(|row| row.about.code_text()),
        title: decoded.row.map(|row| row.about.title),
        code: decoded.code.map(|code| code.to_string()),
        meaning: decoded.code.and_then(hostcmd::Code::explain),
        lmk: decoded.lmk.map(|lmk| lmk.to_string()),
        fields: fields.collect(),
        left_over: decoded.left_over,
        stopped: decoded.stopped.map(|code| code.to_string()),
        whole: decoded.is_whole(),
    }
}

const fn way_name(way: Way) -> &'static str {
    match way {
        Way::Request => "request",
        Way::Reply => "reply",
    }
}

fn print(decoded: &Decoded, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &view(decoded))?;
        return writeln!(out);
    }
    print_fields(decoded, &mut out)
}

/// Title, fields and what was not understood, for people.
pub(super) fn print_fields(decoded: &Decoded, out: &mut impl Write) -> io::Result<()> {
    let way = way_name(decoded.way);
    match decoded.row {
        Some(row) => writeln!(out, "{} {}: {way}", row.about.code_text(), row.about.title)?,
        None => writeln!(out, "{way} of an unknown command")?,
    }
    let width = decoded.fields.iter().map(|f| f.name.len()).max().unwrap_or(0);
    for field in &decoded.fields {
        writeln!(out, "{:>5} {:>5}  {:width$}  {}", field.start, field.length, field.name, field.text)?;
    }
    if let Some(code) = decoded.code {
        writeln!(out, "code {code}: {}", explain(code))?;
    }
    if let Some(code) = decoded.stopped {
        writeln!(out, "parsing stopped with {code}: {}", explain(code))?;
    }
    if decoded.left_over > 0 {
        writeln!(out, "{} bytes at the end belong to no field", decoded.left_over)?;
    }
    Ok(())
}

fn explain(code: hostcmd::Code) -> &'static str {
    code.explain().unwrap_or("not a code of this program")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn frame(words: &[&str]) -> Option<Vec<u8>> {
        let line = ["decode"].iter().chain(words).copied();
        let args = Line::try_parse_from(line).unwrap().args;
        let port = args.port.port(usize::from(args.port.header_len));
        let decoder = Decoder { port: &port, reveal: false };
        let input = args.frame.clone().unwrap();
        choose(&decoder, &args, input.as_bytes())
    }

    #[test]
    fn all_forms_of_a_frame_are_recognised() {
        let expected = Some(b"HEADB20004ping".to_vec());
        assert_eq!(frame(&["HEADB20004ping"]), expected);
        assert_eq!(frame(&["484541444232303030 3470696E67"]), expected);
        assert_eq!(frame(&["000e4845414442323030303470696e67"]), expected);
        assert_eq!(frame(&["SEVBREIyMDAwNHBpbmc="]), expected);
        assert_eq!(frame(&["\\x00\\x0eHEADB20004ping"]), expected);
        assert_eq!(frame(&["--header-len", "0", "B20000"]), Some(b"B20000".to_vec()));
    }

    #[test]
    fn a_form_that_is_named_is_the_only_one_tried() {
        assert_eq!(frame(&["--from", "hex", "HEADB20004ping"]), None);
        assert_eq!(frame(&["--from", "base64", "B2*"]), None);
        assert_eq!(frame(&["--from", "text", "4845"]), Some(b"4845".to_vec()));
        assert_eq!(frame(&["--length-field", "yes", "--from", "text", "HEADB20000"]), None);
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(b"a\\x19b\\\\x41\\q\\x4"), b"a\x19b\\x41\\q\\x4");
        for bytes in [b"\x00\x19\\ \xFF~".as_slice(), b"\\x41"] {
            assert_eq!(unescape(hostcmd::decode::escape(bytes).as_bytes()), bytes);
        }
    }
}

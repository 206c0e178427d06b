//! `payhsm send`: one command to a unit, and its reply field by field.

use super::decode::{PortArgs, View, print_fields, unescape, usage, view};
use clap::Args as ClapArgs;
use hostclient::{Error, Options, Tls, once};
use hostcmd::Code;
use hostcmd::decode::{Decoded, Decoder, escape};
use hostcmd::wire::to_ebcdic;
use serde::Serialize;
use std::error::Error as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXIT_DOES_NOT_HOLD: u8 = 1;
const EXIT_ENVIRONMENT: u8 = 3;

/// Sends one command and shows the reply.
///
/// Ends with 0 when the reply has code 00, with 1 when it has another code, and with 3 when there is no
/// reply.
#[derive(ClapArgs, Debug)]
#[command(group = clap::ArgGroup::new("message").required(true).args(["text", "hex", "file"]))]
pub struct Args {
    /// The message behind the header, command code first; escapes such as \x19 stand for bytes.
    text: Option<String>,
    /// The message in hexadecimal.
    #[arg(long)]
    hex: Option<String>,
    /// A file that holds the message, byte for byte.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Address of the unit.
    #[arg(long, default_value = "127.0.0.1:1500", value_name = "HOST:PORT")]
    target: String,
    /// Message header; the unit must be set to its length. Escapes stand for bytes.
    #[arg(long, default_value = "HEAD")]
    header: String,
    /// Speaks TLS; the certificate of the unit is always verified.
    #[arg(long, requires = "ca")]
    tls: bool,
    /// PEM file with the certificates that are trusted.
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// Name in the certificate of the unit, when it is not the host of --target.
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,
    /// PEM file with the client's own certificate chain.
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"])]
    cert: Option<PathBuf>,
    /// PEM file with the private key of --cert.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Longest wait for the reply, in seconds.
    #[arg(long, default_value_t = 10)]
    timeout_s: u64,
    /// Text is in EBCDIC on the wire: the message, given in ASCII, is converted, but not with --hex or --file.
    #[arg(long)]
    ebcdic: bool,
    /// Profile of the listener: it decides how long stored PINs are.
    #[arg(long, value_enum, default_value = "strict")]
    profile: super::decode::Profile,
    /// Shows keys, cryptograms, PIN blocks and whole account numbers in the fields.
    #[arg(long)]
    reveal: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> ExitCode {
    let message = match args.message() {
        Ok(message) => message,
        Err(code) => return code,
    };
    let header = unescape(args.header.as_bytes());
    let frame = [header.as_slice(), &message].concat();
    let reply = args.options().and_then(|options| exchange(&args.target, &options, &frame));
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return environment(&error),
    };
    if reply.get(..header.len()) != Some(header.as_slice()) {
        return environment(&Error::Reply);
    }
    let port = PortArgs { header_len: 0, ebcdic: args.ebcdic, profile: args.profile, reveal: args.reveal };
    let port = port.port(header.len());
    let decoded = Decoder { port: &port, reveal: args.reveal }.reply(&reply);
    match print(&reply, &decoded, args.json) {
        Ok(()) if decoded.code == Some(Code::OK) => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_DOES_NOT_HOLD),
    }
}

impl Args {
    fn message(&self) -> Result<Vec<u8>, ExitCode> {
        if let Some(hex) = &self.hex {
            let dense: Vec<u8> = hex.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
            return paytypes::hex::decode_vec(&dense).map_err(|error| usage(&format!("--hex: {error}")));
        }
        if let Some(file) = &self.file {
            return std::fs::read(file).map_err(|error| {
                let _nobody_listens = writeln!(io::stderr(), "payhsm: {}: {error}", file.display());
                ExitCode::from(EXIT_ENVIRONMENT)
            });
        }
        let text = unescape(self.text.as_deref().unwrap_or_default().as_bytes());
        Ok(if self.ebcdic { text.into_iter().map(to_ebcdic).collect() } else { text })
    }

    fn options(&self) -> Result<Options, Error> {
        let timeout = Duration::from_secs(self.timeout_s);
        Ok(Options { timeout, connect_timeout: timeout, tls: self.tls()?, ..Options::default() })
    }

    fn tls(&self) -> Result<Option<Tls>, Error> {
        let Some(ca) = self.ca.as_deref().filter(|_| self.tls) else { return Ok(None) };
        let host = self.target.rsplit_once(':').map_or(self.target.as_str(), |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or(host.trim_matches(['[', ']']));
        Tls::new(name, ca, self.cert.as_deref().zip(self.key.as_deref())).map(Some)
    }
}

fn exchange(target: &str, options: &Options, frame: &[u8]) -> Result<Vec<u8>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Error::Connect { address: target.to_owned(), source: source.into() })?;
    runtime.block_on(once(target, options, frame))
}

fn environment(error: &Error) -> ExitCode {
    let mut err = io::stderr().lock();
    let _nobody_listens = match error.source() {
        Some(cause) => writeln!(err, "payhsm: {error}: {cause}"),
        None => writeln!(err, "payhsm: {error}"),
    };
    ExitCode::from(EXIT_ENVIRONMENT)
}

#[derive(Serialize)]
struct Document<'a> {
    reply: String,
    decoded: View<'a>,
}

fn print(reply: &[u8], decoded: &Decoded, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let document = Document { reply: escape(reply), decoded: view(decoded) };
        serde_json::to_writer_pretty(&mut out, &document)?;
        return writeln!(out);
    }
    writeln!(out, "{}", escape(reply))?;
    print_fields(decoded, &mut out)
}

//! The shape of the file. Every value may be missing; the command line fills in or replaces values here
//! before anything is judged.

use super::diagnostic::{Problem, Source, nearest};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Spanned;

/// Which settings listeners have before single ones are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Everything that opens a known attack is off.
    #[default]
    Strict,
    /// Byte-compatible with old units.
    Legacy,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// `pin_length`: `"own"` or 4 to 12.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PinLengthText {
    /// A word.
    Word(String),
    /// A fixed length.
    Fixed(u8),
}

/// Single settings; what is missing comes from the profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the names of `hostcmd::Settings`, explained there
pub struct SettingsTable {
    pub clear_dectab: Option<bool>,
    pub digit_check: Option<bool>,
    pub single_des: Option<bool>,
    pub x_export: Option<bool>,
    pub legacy_translate: Option<bool>,
    pub pin_length: Option<Spanned<PinLengthText>>,
}

/// `[limits]`; durations in seconds, fractions allowed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the names of `Limits`, explained there
pub struct LimitsTable {
    pub connections: Option<Spanned<u32>>,
    pub per_address: Option<Spanned<u32>>,
    pub frame_bytes: Option<Spanned<u32>>,
    pub depth: Option<Spanned<u32>>,
    pub first_byte_s: Option<Spanned<f64>>,
    pub whole_frame_s: Option<Spanned<f64>>,
    pub idle_s: Option<Spanned<f64>>,
    pub write_stall_s: Option<Spanned<f64>>,
    pub drain_s: Option<Spanned<f64>>,
    pub key_cache: Option<Spanned<String>>,
}

/// `[workers]`: the engine in processes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkersTable {
    /// How many; none, or 0: the engine runs in the gateway's process.
    pub count: Option<usize>,
    /// A worker with work that answers nothing for so long is ended, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Name or number of the user that workers run as.
    pub user: Option<String>,
    /// Variables of the environment that workers keep.
    #[serde(default)]
    pub env: Vec<String>,
    /// Workers may use the network, as modules of network HSMs must.
    #[serde(default)]
    pub network: bool,
}

/// `[tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// CA of the clients, PEM: they must show a certificate of it.
    pub client_ca: Option<PathBuf>,
    /// `"1.3"` (default) or `"1.2"`.
    pub min_version: Option<Spanned<String>>,
}

/// `[[listener]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTable {
    /// `[ROLE@][tls:]ADDR[/LMK]`.
    pub listen: Spanned<String>,
    /// Name for labels and logs.
    pub name: Option<Spanned<String>>,
    /// Networks that may connect.
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    /// Profile of this listener.
    pub profile: Option<Profile>,
    /// Text fields in EBCDIC.
    #[serde(default)]
    pub ebcdic: bool,
    /// Replies end with the generations of the keys that were named by index.
    #[serde(default)]
    pub generation_trailer: bool,
    /// Single settings of this listener.
    #[serde(default)]
    pub settings: SettingsTable,
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(skip)]
    pub(crate) source: Source,
    /// The public test LMKs.
    pub insecure_test_lmk: Option<bool>,
    /// LMKs from a file.
    pub lmk_file: Option<PathBuf>,
    /// Passphrase of the LMK file.
    pub lmk_pass_file: Option<PathBuf>,
    /// `"sim"` (default) or `"pkcs11"`.
    pub backend: Option<Spanned<String>>,
    /// Token that holds the LMKs, a URI of RFC 7512.
    pub token: Option<String>,
    /// File with the user PIN of the token.
    pub pin_file: Option<PathBuf>,
    /// Folder of everything that is kept.
    pub data: Option<PathBuf>,
    /// Keys come from a key management centre.
    pub node: Option<crate::node::NodeTable>,
    /// Worker threads; 0 is one per available core.
    pub cores: Option<usize>,
    /// Message header in bytes.
    pub header_len: Option<Spanned<u16>>,
    /// Profile of listeners without their own.
    pub profile: Option<Profile>,
    /// Starts authorised; test LMKs only.
    pub authorised: Option<bool>,
    /// Admin port.
    pub admin: Option<SocketAddr>,
    /// `"direct"` or `"unit"`.
    pub port_map: Option<Spanned<String>>,
    /// Form of log lines.
    pub log_format: Option<LogFormat>,
    /// Worker processes.
    pub workers: Option<WorkersTable>,
    /// Single settings of all listeners.
    #[serde(default)]
    pub settings: SettingsTable,
    /// Limits.
    #[serde(default)]
    pub limits: LimitsTable,
    /// TLS files.
    pub tls: Option<TlsTable>,
    /// Listeners.
    #[serde(default)]
    pub listener: Vec<ListenerTable>,
}

impl File {
    /// Sets the backend from the command line.
    pub fn set_backend(&mut self, name: &str) {
        self.backend = Some(Spanned::new(0..0, name.to_owned()));
    }

    /// Sets the header length from the command line.
    pub fn set_header_len(&mut self, length: u16) {
        self.header_len = Some(Spanned::new(0..0, length));
    }

    /// Reads a file's text; `name` is shown in diagnostics.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let source = Source::new(name, text);
        match toml::from_str::<Self>(text) {
            Ok(file) => Ok(Self { source, ..file }),
            Err(error) => {
                let problem = source.problem(one_line(error.message()), error.span());
                Err(match unknown_field(error.message()) {
                    Some(help) => problem.with_help(help),
                    None => problem,
                })
            }
        }
    }
}

impl ListenerTable {
    /// A listener from the command line.
    pub fn new(listen: &str, allow: &[String]) -> Self {
        let plain = |text: &str| Spanned::new(0..0, text.to_owned());
        Self {
            listen: plain(listen),
            name: None,
            allow: allow.iter().map(|net| plain(net)).collect(),
            profile: None,
            ebcdic: false,
            generation_trailer: false,
            settings: SettingsTable::default(),
        }
    }
}

impl SettingsTable {
    /// Changes one setting, given as `NAME=VALUE`.
    pub fn set(&mut self, change: &str) -> Result<(), Problem> {
        let (name, value) = change.split_once('=').unwrap_or((change, ""));
        let quote = if value.starts_with(|c: char| c.is_ascii_digit()) || ["true", "false"].contains(&value) {
            ""
        } else {
            "'"
        };
        let source = Source::new("--set", change);
        let table = toml::from_str::<Self>(&format!("{name} = {quote}{value}{quote}")).map_err(|error| {
            let problem = source.problem(format!("`{change}`: {}", one_line(error.message())), None);
            match unknown_field(error.message()) {
                Some(help) => problem.with_help(help),
                None => problem,
            }
        })?;
        *self = Self {
            clear_dectab: table.clear_dectab.or(self.clear_dectab),
            digit_check: table.digit_check.or(self.digit_check),
            single_des: table.single_des.or(self.single_des),
            x_export: table.x_export.or(self.x_export),
            legacy_translate: table.legacy_translate.or(self.legacy_translate),
            pin_length: table
                .pin_length
                .map(|length| Spanned::new(0..0, length.into_inner()))
                .or(self.pin_length.take()),
        };
        Ok(())
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

// serde names an unknown key and the known ones, all between backquotes.
fn unknown_field(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    nearest(wrong, names).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_says_nothing() {
        let file = File::parse("payhsm.toml", "").unwrap();
        assert!(file.listener.is_empty() && file.cores.is_none());
    }

    #[test]
    fn unknown_keys_are_refused_with_the_place_and_a_proposal() {
        for (text, wrong, help) in [
            ("cores = 2\nheader_lenght = 4\n", "header_lenght", "did you mean `header_len`?"),
            ("[limits]\nidle = 3\n", "idle", "did you mean `idle_s`?"),
            ("[[listener]]\nlisten = '::1'\nebcdec = true\n", "ebcdec", "did you mean `ebcdic`?"),
            ("profile = 'legasy'\n", "'legasy'", "did you mean `legacy`?"),
        ] {
            let problem = File::parse("payhsm.toml", text).unwrap_err();
            assert_eq!(problem.span().map(|at| &text[at]), Some(wrong), "{problem}");
            assert_eq!(problem.advice(), Some(help), "{problem}");
        }
    }

    #[test]
    fn single_settings_from_the_command_line() {
        let mut table = SettingsTable::default();
        for change in ["single_des=true", "single_des=false", "x_export=true", "pin_length=own"] {
            table.set(change).unwrap();
        }
        assert_eq!((table.single_des, table.x_export, table.digit_check), (Some(false), Some(true), None));
        assert!(table.pin_length.is_some_and(|l| *l.get_ref() == PinLengthText::Word("own".into())));
        let mut table = SettingsTable::default();
        let advice = |p: Problem| p.advice().map(str::to_owned);
        assert_eq!(
            table.set("singel_des=true").map_err(advice),
            Err(Some("did you mean `single_des`?".into()))
        );
        for wrong in ["", "single_des", "single_des=yes", "pin_length=999", "x_export=true\ndata=1"] {
            assert!(table.set(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_types_and_broken_text_have_a_place() {
        for (text, at) in
            [("cores = 'two'", (1, 9)), ("\n[limits]\ndepth = -1", (3, 9)), ("cores = ", (1, 9))]
        {
            let problem = File::parse("payhsm.toml", text).unwrap_err();
            assert_eq!(problem.line_and_column(), Some(at), "{problem}");
        }
    }
}

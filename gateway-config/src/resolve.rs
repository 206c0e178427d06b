//! From the file to what the gateway is told, with every refusal that needs no backend.

use super::diagnostic::Problem;
use super::file::{
    File, ListenerTable, LogFormat, PinLengthText, Profile, SettingsTable, TlsTable, WorkersTable,
};
use super::size::cache_bytes;
use crate::{Config, Limits, ListenSpec, ListenerConfig, PortMap, TlsFiles, plan};
use core::ops::RangeInclusive;
use hostcmd::{Authorised, PinLength, Settings};
use hsm::{LmkId, LmkInfo, LmkScheme};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// Bytes of a key cache.
const CACHE: RangeInclusive<usize> = 64 << 10..=4 << 30;

/// A configuration that was judged.
#[derive(Debug)]
pub struct Resolved {
    /// For the gateway.
    pub gateway: Config,
    /// The public test LMKs are wanted.
    pub insecure_test_lmk: bool,
    /// LMKs from a file.
    pub lmk_file: Option<PathBuf>,
    /// Passphrase of the LMK file.
    pub lmk_pass_file: Option<PathBuf>,
    /// The token that holds the LMKs.
    pub token: Option<TokenSource>,
    /// Folder of everything that is kept.
    pub data: Option<PathBuf>,
    /// Keys come from a key management centre.
    pub node: Option<crate::node::NodeTable>,
    /// Worker processes.
    pub workers: WorkersTable,
    /// Form of log lines.
    pub log_format: LogFormat,
}

/// A PKCS#11 token, as it is named to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// URI of RFC 7512.
    pub uri: String,
    /// File with the user PIN.
    pub pin_file: Option<PathBuf>,
}

/// The identifiers and schemes of the public test LMKs (ARCHITECTURE.md, contracts), for judging a
/// configuration without a backend.
pub fn test_lmks() -> Vec<LmkInfo> {
    [LmkScheme::Variant, LmkScheme::TdesBlock, LmkScheme::AesBlock]
        .into_iter()
        .zip(0..)
        .map(|(scheme, id)| LmkInfo {
            id: LmkId(id),
            scheme,
            test: true,
            check: *b"000000",
            comment: String::new(),
        })
        .collect()
}

impl File {
    /// Judges everything that needs no backend. Which LMKs a file holds is not known here, so ports are
    /// judged under the test LMKs only; the gateway judges them again when it starts.
    pub fn resolve(&self) -> Result<Resolved, Problem> {
        let test = self.insecure_test_lmk.unwrap_or_default();
        if test && self.lmk_file.is_some() {
            return Err(self.source.problem("both the test LMKs and an LMK file are asked for", None));
        }
        let token = self.token_source()?;
        if self.authorised.unwrap_or_default() && !test {
            let problem = self.source.problem("`authorised` works under the test LMKs only", None);
            return Err(problem.with_help("add `--insecure-test-lmk`, or authorise with two officers"));
        }
        let gateway = Config {
            listeners: self.listeners()?,
            port_map: self.port_map()?,
            cores: self.cores.unwrap_or_default(),
            header_length: self.header_length()?,
            limits: self.limits()?,
            tls: self.tls.as_ref().map(|tls| self.tls_files(tls)).transpose()?,
            admin: self.admin,
            authorised: if self.authorised.unwrap_or_default() { Authorised::ALL } else { Authorised::NONE },
            ..Config::default()
        };
        // Workers are not told of key tables: their keys would be those of before a rotation.
        if self.node.is_some()
            && self.workers.as_ref().is_some_and(|workers| workers.count.unwrap_or_default() > 0)
        {
            let problem =
                self.source.problem("keys of a key management centre and workers are asked for", None);
            return Err(problem.with_help("leave `[node]` or `[workers]` out"));
        }
        // Which LMKs a token holds is not known here.
        if test && token.is_none() {
            self.check_listeners(&gateway)?;
        }
        Ok(Resolved {
            gateway,
            insecure_test_lmk: test,
            lmk_file: self.lmk_file.clone(),
            lmk_pass_file: self.lmk_pass_file.clone(),
            token,
            data: self.data.clone(),
            node: self.node.clone(),
            workers: self.workers.clone().unwrap_or_default(),
            log_format: self.log_format.unwrap_or_default(),
        })
    }

    fn token_source(&self) -> Result<Option<TokenSource>, Problem> {
        let named = self.backend.as_ref().map(|name| (name.get_ref().as_str(), name));
        let wanted = match named {
            Some(("pkcs11", _)) => true,
            Some(("sim", _)) => false,
            None => self.token.is_some(),
            Some((_, name)) => {
                return Err(self.source.problem("`backend` is \"sim\" or \"pkcs11\"", Some(name.span())));
            }
        };
        match (&self.token, wanted) {
            (None, false) => Ok(None),
            (Some(_), false) => Err(self.source.problem("the simulator takes no token", None)),
            (None, true) => {
                let problem = self.source.problem("the PKCS#11 backend needs a token", None);
                Err(problem.with_help("name it with `--token pkcs11:token=LABEL`"))
            }
            (Some(_), true) if self.lmk_file.is_some() => {
                Err(self.source.problem("the LMKs are on the token: an LMK file has no use", None))
            }
            (Some(uri), true) => Ok(Some(TokenSource { uri: uri.clone(), pin_file: self.pin_file.clone() })),
        }
    }

    fn check_listeners(&self, gateway: &Config) -> Result<(), Problem> {
        let lmks = test_lmks();
        let Err(error) = plan::check(gateway, &lmks) else { return Ok(()) };
        // The listener that is refused is the first with which the others are not accepted.
        let culprit = (0..gateway.listeners.len()).find(|last| {
            let listeners = gateway.listeners.iter().take(last.saturating_add(1)).cloned().collect();
            plan::check(&Config { listeners, ..gateway.clone() }, &lmks).is_err()
        });
        let at = culprit.and_then(|at| self.listener.get(at)).map(|table| table.listen.span());
        let problem = self.source.problem(error.to_string(), at);
        Err(match error.help() {
            Some(help) => problem.with_help(help),
            None => problem,
        })
    }

    fn listeners(&self) -> Result<Vec<ListenerConfig>, Problem> {
        if self.listener.is_empty() {
            let settings = self.settings_of(None, &SettingsTable::default())?;
            return Ok(vec![ListenerConfig { settings, ..ListenerConfig::new(ListenSpec::default()) }]);
        }
        self.listener.iter().map(|table| self.one_listener(table)).collect()
    }

    fn one_listener(&self, table: &ListenerTable) -> Result<ListenerConfig, Problem> {
        let spec = table.listen.get_ref().parse::<ListenSpec>();
        let spec = spec.map_err(|error| {
            let problem = self.source.problem(error.to_string(), Some(table.listen.span()));
            problem.with_help("the form is [ROLE@][tls:]ADDR[/LMK]")
        })?;
        let allow = table.allow.iter().map(|net| self.network(net)).collect::<Result<_, _>>()?;
        let name = table.name.as_ref().map(|name| self.listener_name(name)).transpose()?;
        let settings = self.settings_of(table.profile, &table.settings)?;
        let (ebcdic, generation_trailer) = (table.ebcdic, table.generation_trailer);
        Ok(ListenerConfig { name, spec, settings, ebcdic, allow, generation_trailer })
    }

    // The name becomes a label, so it stays short and plain.
    fn listener_name(&self, name: &Spanned<String>) -> Result<String, Problem> {
        let text = name.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if (1..=32).contains(&text.len()) && text.chars().all(plain) {
            return Ok(text.clone());
        }
        let message = "a listener name has 1 to 32 letters, digits, `-`, `_` or `.`";
        Err(self.source.problem(message, Some(name.span())))
    }

    fn network(&self, net: &Spanned<String>) -> Result<ipnet::IpNet, Problem> {
        let text = net.get_ref();
        let single = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
        text.parse().or_else(|_| single()).map_err(|_| {
            let problem = self.source.problem(format!("`{text}` is no network"), Some(net.span()));
            problem.with_help("use 10.0.0.0/8, 2001:db8::/32 or a single address")
        })
    }

    fn settings_of(&self, profile: Option<Profile>, own: &SettingsTable) -> Result<Settings, Problem> {
        let base = match profile.or(self.profile).unwrap_or_default() {
            Profile::Strict => Settings::STRICT,
            Profile::Legacy => Settings::LEGACY,
        };
        // A listener with its own profile starts from that, not from single settings meant for the others.
        let common = if profile.is_some() { None } else { Some(&self.settings) };
        common.into_iter().chain([own]).try_fold(base, |settings, table| self.change(settings, table))
    }

    fn change(&self, base: Settings, table: &SettingsTable) -> Result<Settings, Problem> {
        let pin_length = match &table.pin_length {
            None => base.pin_length,
            Some(text) => match text.get_ref() {
                PinLengthText::Fixed(n @ 4..=12) => PinLength::Fixed(*n),
                PinLengthText::Word(word) if word == "own" => PinLength::Own,
                _ => {
                    let message = "`pin_length` is \"own\" or a number from 4 to 12";
                    return Err(self.source.problem(message, Some(text.span())));
                }
            },
        };
        Ok(Settings {
            clear_dectab: table.clear_dectab.unwrap_or(base.clear_dectab),
            digit_check: table.digit_check.unwrap_or(base.digit_check),
            single_des: table.single_des.unwrap_or(base.single_des),
            x_export: table.x_export.unwrap_or(base.x_export),
            legacy_translate: table.legacy_translate.unwrap_or(base.legacy_translate),
            pin_length,
        })
    }

    fn port_map(&self) -> Result<PortMap, Problem> {
        match self.port_map.as_ref().map(|map| (map.get_ref().as_str(), map)) {
            None | Some(("direct", _)) => Ok(PortMap::Direct),
            Some(("unit", _)) => Ok(PortMap::Unit),
            Some((_, map)) => {
                Err(self.source.problem("`port_map` is \"direct\" or \"unit\"", Some(map.span())))
            }
        }
    }

    fn header_length(&self) -> Result<usize, Problem> {
        match &self.header_len {
            None => Ok(Config::default().header_length),
            Some(length) if *length.get_ref() <= 255 => Ok(usize::from(*length.get_ref())),
            Some(length) => {
                Err(self.source.problem("`header_len` is at most 255 bytes", Some(length.span())))
            }
        }
    }

    fn tls_files(&self, tls: &TlsTable) -> Result<TlsFiles, Problem> {
        let tls12 = match tls.min_version.as_ref().map(|v| (v.get_ref().as_str(), v)) {
            None | Some(("1.3", _)) => false,
            Some(("1.2", _)) => true,
            Some((_, version)) => {
                let message = "`min_version` is \"1.3\" or \"1.2\"";
                return Err(self.source.problem(message, Some(version.span())));
            }
        };
        Ok(TlsFiles {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone(),
            tls12,
        })
    }

    fn limits(&self) -> Result<Limits, Problem> {
        let (table, normal) = (&self.limits, Limits::default());
        Ok(Limits {
            connections: self.count(&table.connections, normal.connections, 1_000_000)?,
            per_address: self.count(&table.per_address, normal.per_address, 1_000_000)?,
            frame_longest: self.count(
                &table.frame_bytes,
                normal.frame_longest,
                crate::limits::FRAME_LONGEST,
            )?,
            depth: self.count(&table.depth, normal.depth, 65_536)?,
            first_byte: self.seconds(&table.first_byte_s, normal.first_byte)?,
            whole_frame: self.seconds(&table.whole_frame_s, normal.whole_frame)?,
            idle: self.seconds(&table.idle_s, normal.idle)?,
            write_stall: self.seconds(&table.write_stall_s, normal.write_stall)?,
            drain: self.seconds(&table.drain_s, normal.drain)?,
            key_cache: self.cache(&table.key_cache, normal.key_cache)?,
        })
    }

    fn cache(&self, value: &Option<Spanned<String>>, normal: usize) -> Result<usize, Problem> {
        let Some(value) = value else { return Ok(normal) };
        let bytes = cache_bytes(value.get_ref());
        // `off` is a word of its own: a size of nothing is a slip.
        if let Some(bytes) = bytes.filter(|bytes| CACHE.contains(bytes) || value.get_ref() == "off") {
            return Ok(bytes);
        }
        let message = "the key cache is between 64KiB and 4GiB, or \"off\"";
        Err(self.source.problem(message, Some(value.span())))
    }

    fn count(&self, value: &Option<Spanned<u32>>, normal: usize, most: usize) -> Result<usize, Problem> {
        let Some(value) = value else { return Ok(normal) };
        let number = usize::try_from(*value.get_ref()).unwrap_or(usize::MAX);
        if (1..=most).contains(&number) {
            return Ok(number);
        }
        Err(self.source.problem(format!("this limit is between 1 and {most}"), Some(value.span())))
    }

    fn seconds(&self, value: &Option<Spanned<f64>>, normal: Duration) -> Result<Duration, Problem> {
        let Some(value) = value else { return Ok(normal) };
        let seconds = *value.get_ref();
        if (0.01..=1e8).contains(&seconds) {
            return Ok(Duration::from_secs_f64(seconds));
        }
        Err(self.source.problem("this limit is between 0.01 and 100000000 seconds", Some(value.span())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostcmd::Role;

    fn resolve(text: &str) -> Result<Resolved, Problem> {
        File::parse("payhsm.toml", text)?.resolve()
    }

    #[test]
    fn a_full_file_gives_what_it_says() {
        let resolved = resolve(
            r#"
            insecure_test_lmk = true
            authorised = true
            cores = 3
            header_len = 8
            port_map = "unit"
            admin = "127.0.0.1:9400"
            log_format = "json"
            [settings]
            single_des = true
            [limits]
            connections = 100
            whole_frame_s = 0.5
            [tls]
            certificate = "cert.pem"
            key = "key.pem"
            client_ca = "ca.pem"
            min_version = "1.2"
            [[listener]]
            name = "switch-a"
            listen = "acquirer@tls:10.0.0.1:2500/00"
            allow = ["10.0.0.0/8", "192.168.1.7"]
            ebcdic = true
            [[listener]]
            listen = "issuer@127.0.0.1:1500"
            profile = "legacy"
            settings = { pin_length = 6, clear_dectab = false }
            "#,
        )
        .unwrap();
        let gateway = &resolved.gateway;
        assert_eq!((gateway.cores, gateway.header_length, gateway.port_map), (3, 8, PortMap::Unit));
        assert_eq!(gateway.limits.connections, 100);
        assert_eq!(gateway.limits.whole_frame, Duration::from_millis(500));
        assert_eq!(gateway.limits.idle, Limits::default().idle);
        assert_eq!(gateway.authorised, Authorised::ALL);
        assert_eq!(resolved.log_format, LogFormat::Json);
        assert!(gateway.tls.as_ref().is_some_and(|tls| tls.tls12 && tls.client_ca.is_some()));
        let [first, second] = &gateway.listeners[..] else { panic!("two listeners") };
        assert_eq!((first.spec.role, first.ebcdic, first.allow.len()), (Role::Acquirer, true, 2));
        assert_eq!(first.settings, Settings { single_des: true, ..Settings::STRICT });
        let legacy = Settings { clear_dectab: false, pin_length: PinLength::Fixed(6), ..Settings::LEGACY };
        assert_eq!(second.settings, legacy);
    }

    #[test]
    fn an_empty_file_is_a_strict_loopback_listener() {
        let gateway = resolve("").unwrap().gateway;
        assert_eq!(gateway.listeners[0].spec, ListenSpec::default());
        assert_eq!(gateway.listeners[0].settings, Settings::STRICT);
        assert_eq!((gateway.limits, gateway.header_length), (Limits::default(), 4));
    }

    #[test]
    fn refusals_point_at_the_value() {
        for (text, wrong) in [
            ("header_len = 256", "256"),
            ("port_map = 'odd'", "'odd'"),
            ("settings = { pin_length = 3 }", "3"),
            ("settings = { pin_length = 'long' }", "'long'"),
            ("[limits]\ndepth = 0", "0"),
            ("[limits]\nidle_s = -2.0", "-2.0"),
            ("[limits]\nidle_s = nan", "nan"),
            ("[limits]\nframe_bytes = 65536", "65536"),
            ("[limits]\nkey_cache = '16MB'", "'16MB'"),
            ("[limits]\nkey_cache = '0'", "'0'"),
            ("[limits]\nkey_cache = '8GiB'", "'8GiB'"),
            ("[[listener]]\nlisten = 'boss@::1'", "'boss@::1'"),
            ("[[listener]]\nlisten = '::1'\nallow = ['10.0.0.0/33']", "'10.0.0.0/33'"),
            ("[[listener]]\nlisten = '::1'\nname = 'a b'", "'a b'"),
            ("tls = { certificate = 'a', key = 'b', min_version = '1.1' }", "'1.1'"),
            ("insecure_test_lmk = true\n[[listener]]\nlisten = '0.0.0.0:1500'", "'0.0.0.0:1500'"),
            (
                "insecure_test_lmk = true\n[[listener]]\nlisten = '::1'\n[[listener]]\nlisten = '[::1]:1502'",
                "'[::1]:1502'",
            ),
        ] {
            let problem = resolve(text).unwrap_err();
            assert_eq!(problem.span().map(|at| &text[at]), Some(wrong), "{problem}");
        }
    }

    #[test]
    fn the_key_cache_has_a_size_or_is_off() {
        let cache = |text: &str| resolve(text).unwrap().gateway.limits.key_cache;
        assert_eq!(cache("limits = { key_cache = '1MiB' }"), 1 << 20);
        assert_eq!((cache("limits = { key_cache = 'off' }"), cache("")), (0, 16 << 20));
    }

    #[test]
    fn what_needs_the_test_lmks_is_refused_without_them() {
        assert!(resolve("authorised = true").is_err());
        assert!(resolve("authorised = true\ninsecure_test_lmk = true").is_ok());
        assert!(resolve("lmk_file = 'a'\ninsecure_test_lmk = true").is_err());
    }

    #[test]
    fn a_token_is_named_with_its_backend() {
        let token = |text: &str| resolve(text).unwrap().token;
        let source = TokenSource { uri: "pkcs11:token=a".into(), pin_file: Some("/run/pin".into()) };
        let both = "token = 'pkcs11:token=a'\npin_file = '/run/pin'\n";
        assert_eq!(token(both), Some(source.clone()));
        assert_eq!(token(&format!("{both}backend = 'pkcs11'")), Some(source));
        assert_eq!(token("backend = 'sim'"), None);
        for text in [
            "backend = 'pkcs11'",
            "backend = 'sim'\ntoken = 'pkcs11:'",
            "backend = 'hsm'",
            "token = 'pkcs11:'\nlmk_file = 'a'",
        ] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}

//! The one place where the program chooses a backend.

use crate::exit::Failure;
use crate::token::{self, NoToken};
use crate::verbs::load_lmks;
use gateway::BackendFactory;
use gateway::config::{Resolved, TokenSource};
use gateway::worker::Refusal;
use hsm::Backend;
use hsm_pkcs11::Token;
use hsm_sim::{LmkSet, Options, Simulator};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// Where LMKs come from, as a worker is told.
#[derive(Clone, Debug, clap::Args)]
pub struct SourceOptions {
    /// The public test LMKs; on a token that holds them.
    #[arg(long, conflicts_with = "lmk_file")]
    insecure_test_lmk: bool,
    /// A token, a URI of RFC 7512.
    #[arg(long, value_name = "URI", conflicts_with = "lmk_file")]
    token: Option<String>,
    /// File with the user PIN of the token.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// A key file.
    #[arg(long, value_name = "FILE", requires = "lmk_pass_file")]
    lmk_file: Option<PathBuf>,
    /// File with the passphrase of the key file.
    #[arg(long, value_name = "FILE")]
    lmk_pass_file: Option<PathBuf>,
}

/// Where LMKs come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Nothing was asked for.
    None,
    /// The simulator under the public test LMKs.
    Test,
    /// The simulator under the LMKs of a key file, with the file of its passphrase.
    File(PathBuf, Option<PathBuf>),
    /// A token; whether its LMKs are to be the public test LMKs.
    Token(TokenSource, bool),
}

impl SourceOptions {
    /// True when one is named.
    pub const fn is_named(&self) -> bool {
        self.insecure_test_lmk || self.token.is_some() || self.lmk_file.is_some()
    }
}

impl From<SourceOptions> for Source {
    fn from(options: SourceOptions) -> Self {
        if let Some(uri) = options.token {
            return Self::Token(TokenSource { uri, pin_file: options.pin_file }, options.insecure_test_lmk);
        }
        match (options.lmk_file, options.insecure_test_lmk) {
            (Some(file), _) => Self::File(file, options.lmk_pass_file),
            (None, true) => Self::Test,
            (None, false) => Self::None,
        }
    }
}

impl From<&Resolved> for Source {
    fn from(resolved: &Resolved) -> Self {
        if let Some(token) = &resolved.token {
            return Self::Token(token.clone(), resolved.insecure_test_lmk);
        }
        match (&resolved.lmk_file, resolved.insecure_test_lmk) {
            (Some(file), _) => Self::File(file.clone(), resolved.lmk_pass_file.clone()),
            (None, true) => Self::Test,
            (None, false) => Self::None,
        }
    }
}

/// Why a backend cannot be had: what it means for a second try, and the failure.
#[derive(Debug)]
pub struct NoBackend(Refusal, Failure);

impl NoBackend {
    /// What it means for a second try.
    pub const fn refusal(&self) -> Refusal {
        self.0
    }
}

impl From<Failure> for NoBackend {
    fn from(failure: Failure) -> Self {
        Self(Refusal::Setup, failure)
    }
}

impl From<NoToken> for NoBackend {
    fn from(NoToken(why, failure): NoToken) -> Self {
        Self(why, failure)
    }
}

impl From<NoBackend> for Failure {
    fn from(none: NoBackend) -> Self {
        none.1
    }
}

/// A source of which everything is read that needs the first user of a process.
#[derive(Debug)]
pub enum Prepared {
    /// LMKs.
    Simulator(LmkSet),
    /// What opens a token.
    Token(Box<token::Prepared>),
}

impl Source {
    /// Options of a worker that opens this source by itself: nobody can type a passphrase there.
    pub fn arguments(&self) -> Result<Vec<OsString>, Failure> {
        match self {
            Self::None => Err(none()),
            Self::Test => Ok(vec!["--insecure-test-lmk".into()]),
            Self::File(_, None) => {
                Err(Failure::usage("workers need `--lmk-pass-file FILE`: nobody can type a passphrase there"))
            }
            Self::File(file, Some(pass)) => {
                Ok(vec!["--lmk-file".into(), file.into(), "--lmk-pass-file".into(), pass.into()])
            }
            Self::Token(token, test) => {
                let mut arguments = vec![OsString::from("--token"), token.uri.clone().into()];
                if let Some(file) = &token.pin_file {
                    arguments.extend(["--pin-file".into(), file.into()]);
                }
                arguments.extend(test.then(|| "--insecure-test-lmk".into()));
                Ok(arguments)
            }
        }
    }

    /// Reads what must be read first.
    pub fn prepare(&self) -> Result<Prepared, NoBackend> {
        Ok(Prepared::Simulator(match self {
            Self::None => return Err(none().into()),
            Self::Test => LmkSet::public_test(),
            Self::File(file, pass) => load_lmks(file, pass.as_deref())?,
            Self::Token(token, test) => return Ok(Prepared::Token(Box::new(token::prepare(token, *test)?))),
        }))
    }

    /// Makes the backend of a core as often as one is needed, and the token that the backends are of, if they are of
    /// one. What can fail is tried here, before any port is taken.
    pub fn factory_and_token(&self) -> Result<(Arc<BackendFactory>, Option<Token>), Failure> {
        let lmks = match self.prepare()? {
            Prepared::Simulator(lmks) => lmks,
            Prepared::Token(prepared) => {
                let token = prepared.open(false).map_err(NoBackend::from)?;
                let of = token.clone();
                return Ok((Arc::new(move || Box::new(of.backend())), Some(token)));
            }
        };
        Simulator::new(&lmks, Options::default()).map_err(Failure::environment)?;
        let factory = move || -> Box<dyn Backend> {
            match Simulator::new(&lmks, Options::default()) {
                Ok(simulator) => Box::new(simulator),
                Err(error) => unreachable!("the same LMKs were taken before: {error}"),
            }
        };
        Ok((Arc::new(factory), None))
    }
}

impl Prepared {
    /// The one backend of a worker.
    pub fn open(self) -> Result<Box<dyn Backend>, NoBackend> {
        match self {
            Self::Simulator(lmks) => {
                let simulator = Simulator::new(&lmks, Options::default()).map_err(Failure::environment)?;
                Ok(Box::new(simulator))
            }
            Self::Token(prepared) => Ok(Box::new(prepared.open(true)?.backend())),
        }
    }
}

fn none() -> Failure {
    Failure::usage(
        "no LMK: give `--lmk-file FILE` (made by `payhsm lmk new`), or `--insecure-test-lmk` for the public test \
         LMKs, which protect nothing",
    )
}

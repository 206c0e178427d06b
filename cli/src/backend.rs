//! The one place where the program chooses a backend.

use crate::exit::Failure;
use crate::verbs::load_lmks;
use gateway::BackendFactory;
use gateway::config::Resolved;
use gateway::worker::Refusal;
use hsm::Backend;
use hsm_sim::{LmkSet, Options, Simulator};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// Where LMKs come from, as a worker is told.
#[derive(Debug, clap::Args)]
pub struct SourceOptions {
    /// The public test LMKs.
    #[arg(long, conflicts_with = "lmk_file")]
    insecure_test_lmk: bool,
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
}

impl From<SourceOptions> for Source {
    fn from(options: SourceOptions) -> Self {
        match (options.lmk_file, options.insecure_test_lmk) {
            (Some(file), _) => Self::File(file, options.lmk_pass_file),
            (None, true) => Self::Test,
            (None, false) => Self::None,
        }
    }
}

impl From<&Resolved> for Source {
    fn from(resolved: &Resolved) -> Self {
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

impl From<NoBackend> for Failure {
    fn from(none: NoBackend) -> Self {
        none.1
    }
}

/// A source of which everything is read that needs the first user of a process.
#[derive(Debug)]
pub struct Prepared(LmkSet);

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
        }
    }

    /// Reads what must be read first.
    pub fn prepare(&self) -> Result<Prepared, NoBackend> {
        Ok(Prepared(match self {
            Self::None => return Err(none().into()),
            Self::Test => LmkSet::public_test(),
            Self::File(file, pass) => load_lmks(file, pass.as_deref())?,
        }))
    }

    /// Makes the backend of a core as often as one is needed. What can fail is tried here, before any port is
    /// taken.
    pub fn factory(&self) -> Result<Arc<BackendFactory>, Failure> {
        let Prepared(lmks) = self.prepare()?;
        Simulator::new(&lmks, Options::default()).map_err(Failure::environment)?;
        Ok(Arc::new(move || match Simulator::new(&lmks, Options::default()) {
            Ok(simulator) => Box::new(simulator),
            Err(error) => unreachable!("the same LMKs were taken before: {error}"),
        }))
    }
}

impl Prepared {
    /// The one backend of a worker.
    pub fn open(self) -> Result<Box<dyn Backend>, NoBackend> {
        let simulator = Simulator::new(&self.0, Options::default()).map_err(Failure::environment)?;
        Ok(Box::new(simulator))
    }
}

fn none() -> Failure {
    Failure::usage(
        "no LMK: give `--lmk-file FILE` (made by `payhsm lmk new`), or `--insecure-test-lmk` for the public test \
         LMKs, which protect nothing",
    )
}

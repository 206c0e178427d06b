//! The one place where the program chooses a backend.

use crate::exit::Failure;
use crate::token;
use crate::verbs::load_lmks;
use gateway::BackendFactory;
use gateway::config::Resolved;
use hsm_sim::{LmkSet, Options, Simulator};
use std::sync::Arc;

/// Makes the backend of a core as often as one is needed. What can fail is tried here, before any port is
/// taken.
pub fn factory(resolved: &Resolved) -> Result<Arc<BackendFactory>, Failure> {
    if let Some(source) = &resolved.token {
        return token::factory(source, resolved.insecure_test_lmk);
    }
    let lmks = match (&resolved.lmk_file, resolved.insecure_test_lmk) {
        (Some(file), _) => load_lmks(file, resolved.lmk_pass_file.as_deref())?,
        (None, true) => LmkSet::public_test(),
        (None, false) => {
            return Err(Failure::usage(
                "no LMK: give `--lmk-file FILE` (made by `payhsm lmk new`), or `--insecure-test-lmk` for the \
                 public test LMKs, which protect nothing",
            ));
        }
    };
    Simulator::new(&lmks, Options::default()).map_err(Failure::environment)?;
    Ok(Arc::new(move || match Simulator::new(&lmks, Options::default()) {
        Ok(simulator) => Box::new(simulator),
        Err(error) => unreachable!("the same LMKs were taken before: {error}"),
    }))
}

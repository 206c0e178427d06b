//! Modules of this process: each is loaded and initialised once, shared by all sessions, and never finalised,
//! since some modules do not survive a second initialisation or their end in a running process.

use crate::error::TokenError;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static LOADED: Mutex<Vec<(PathBuf, Pkcs11)>> = Mutex::new(Vec::new());

/// The module at `path`, loaded at the first call.
pub(crate) fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let failed = |error| TokenError::Module(path.to_path_buf(), error);
    let name = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, module)) = loaded.iter().find(|(known, _)| *known == name) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(failed)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed(error)),
    }
    loaded.push((name, module.clone()));
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(matches!(load(Path::new("/nowhere/at/all.so")), Err(TokenError::Module(..))));
        let libc = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
        for path in libc.into_iter().map(Path::new).filter(|path| path.exists()) {
            assert!(matches!(load(path), Err(TokenError::Module(..))));
        }
    }
}

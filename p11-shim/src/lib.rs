//! A PKCS#11 module that forwards every call to a real module and makes chosen calls fail: for tests of what
//! happens when a token goes away, hangs, lies or takes its process with it.
//!
//! | variable | meaning |
//! |---|---|
//! | `P11_SHIM_MODULE` | path of the real module; SoftHSM where Debian puts it when missing |
//! | `P11_SHIM_FAULTS` | rules, separated by `;` |
//! | `P11_SHIM_CONTROL` | file with rules, a line each; read again whenever it changes |
//! | `P11_SHIM_TRACE` | file to which starts, logins and ends are appended: process, function, answer |
//!
//! The language of rules is in [`faults`]. This crate is no part of the product and nothing depends on it. It is
//! the one place besides the lanes with `unsafe`: a C interface can be neither offered nor called without; each
//! such place says what it relies on.
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod faults;
mod functions;
mod trace;

use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR_PTR, CK_RV, CKR_ARGUMENTS_BAD, CKR_GENERAL_ERROR, CKR_OK,
};
use libloading::os::unix::Library;
use std::ptr;
use std::sync::OnceLock;

/// The real module, loaded once and never unloaded.
struct Module {
    real: CK_FUNCTION_LIST,
    ours: CK_FUNCTION_LIST,
    _library: Library,
}

const DEBIAN: &str = "/usr/lib/softhsm/libsofthsm2.so";

static MODULE: OnceLock<Option<Module>> = OnceLock::new();

fn load() -> Option<Module> {
    let path = std::env::var_os("P11_SHIM_MODULE").unwrap_or_else(|| DEBIAN.into());
    type GetFunctionList = unsafe extern "C" fn(CK_FUNCTION_LIST_PTR_PTR) -> CK_RV;
    // SAFETY: loading runs the initialisers of a library that whoever runs the test has named; a PKCS#11 module
    // exports `C_GetFunctionList` with this type (PKCS#11 v2.40, 5.4), and the list that it gives is static for
    // as long as the library is loaded, which is for ever.
    unsafe {
        let library = Library::new(path).ok()?;
        let get = library.get::<GetFunctionList>(b"C_GetFunctionList\0").ok()?;
        let mut list = ptr::null_mut();
        if get(&mut list) != CKR_OK || list.is_null() {
            return None;
        }
        let real = *list;
        Some(Module { real, ours: functions::over(&real), _library: library })
    }
}

fn module() -> Option<&'static Module> {
    MODULE.get_or_init(load).as_ref()
}

pub(crate) fn real() -> Option<&'static CK_FUNCTION_LIST> {
    module().map(|module| &module.real)
}

/// The one symbol that a module must export. `CKR_GENERAL_ERROR` when the real module does not load.
///
/// # Safety
/// `list` is null or points to a pointer that may be written.
#[unsafe(no_mangle)]
#[allow(non_snake_case)] // the standard's name
pub unsafe extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let Some(module) = module() else { return CKR_GENERAL_ERROR };
    // SAFETY: not null, and the caller's to be written. The list is never written through, whatever the type of
    // the pointer says.
    unsafe { *list = (&raw const module.ours).cast_mut() };
    CKR_OK
}

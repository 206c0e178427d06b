//! The shim over SoftHSM, as a client loads it: everything works through it, and each fault is what the caller
//! sees. One process, one module: one test.
#![allow(clippy::print_stderr)] // SKIP lines

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

// Beside the tests, where cargo puts the library of the crate under test.
fn shim() -> PathBuf {
    let test = std::env::current_exe().expect("own path");
    let folder = test.parent().expect("folder");
    let places = [folder.join("libp11_shim.so"), folder.join("../libp11_shim.so")];
    places.into_iter().find(|path| path.exists()).expect("the library is built with its tests")
}

fn open(module: &Pkcs11) -> Session {
    let slot = module.get_slots_with_token().expect("slots")[0];
    module.init_token(slot, &"5678".to_owned().into(), "shim").expect("initialised");
    let slot = module.get_slots_with_initialized_token().expect("slots")[0];
    let session = module.open_rw_session(slot).expect("session");
    session.login(UserType::So, Some(&"5678".to_owned().into())).expect("SO");
    session.init_pin(&"1234".to_owned().into()).expect("PIN");
    session.logout().expect("out");
    session.login(UserType::User, Some(&"1234".to_owned().into())).expect("in");
    session
}

fn key(session: &Session) -> ObjectHandle {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Value(vec![7; 16]),
        Attribute::Encrypt(true),
        Attribute::Token(false),
    ];
    session.create_object(&template).expect("a key")
}

fn set(control: &Path, rules: &str) {
    // A new file each time, so that the change is seen whatever the clock's steps are.
    let fresh = control.with_extension("new");
    std::fs::write(&fresh, rules).expect("written");
    std::fs::rename(&fresh, control).expect("in place");
}

#[test]
fn everything_is_forwarded_and_every_fault_is_seen() {
    if !Path::new(MODULE).exists() {
        eprintln!("SKIP: package softhsm2 is not installed");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI installs softhsm2");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("tokens")).expect("made");
    let tokens = path("tokens").display().to_string();
    std::fs::write(path("conf"), format!("directories.tokendir = {tokens}\nlog.level = ERROR\n"))
        .expect("made");
    let control = path("control");
    // SAFETY: no other thread of this process reads the environment yet.
    unsafe {
        std::env::set_var("SOFTHSM2_CONF", path("conf"));
        std::env::set_var("P11_SHIM_CONTROL", &control);
        std::env::set_var("P11_SHIM_TRACE", path("trace"));
    }
    let module = Pkcs11::new(shim()).expect("loads");
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("initialised");
    let session = open(&module);
    let key = key(&session);
    let block = [3; 16];
    let encrypt = || session.encrypt(&Mechanism::AesEcb, key, &block);
    let right = encrypt().expect("works");

    for (fault, expected) in [
        ("device-removed", RvError::DeviceRemoved),
        ("session-invalid", RvError::SessionHandleInvalid),
        ("not-logged-in", RvError::UserNotLoggedIn),
        ("host-memory", RvError::HostMemory),
        ("rv=0x30", RvError::DeviceError),
    ] {
        set(&control, &format!("C_EncryptInit {fault} for 2"));
        for _ in 0..2 {
            let Err(Error::Pkcs11(seen, _)) = encrypt() else { panic!("{fault} is not seen") };
            assert_eq!(seen.to_string(), expected.to_string());
        }
        assert_eq!(encrypt().expect("over"), right, "{fault}");
    }

    set(&control, "C_Encrypt flip after 3 for 1");
    let (first, second) = (encrypt().expect("answers"), encrypt().expect("answers"));
    // The binding asks for the length first: each of its calls is two of ours.
    assert_eq!(first, right);
    assert_ne!(second, right, "one bit is wrong");
    assert_eq!(second.iter().zip(&right).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>(), 1);

    set(&control, "* hang=80 for 1");
    let begun = Instant::now();
    assert!(encrypt().is_err() && begun.elapsed() >= Duration::from_millis(80));

    set(&control, "");
    let twenty = || {
        let begun = Instant::now();
        (0..20).for_each(|_| drop(encrypt()));
        begun.elapsed()
    };
    // The least of several: a pause of the machine is no part of what is usual.
    let usual = (0..5).map(|_| twenty()).min().expect("five");
    set(&control, "* slow=50");
    let slow = twenty();
    assert!(slow > usual * 5, "{slow:?} against {usual:?}");

    set(&control, "C_EncryptInit device-error once");
    assert!(encrypt().is_err() && encrypt().is_ok());
    assert!(control.with_extension("fired").exists());
    let trace = std::fs::read_to_string(path("trace")).expect("a trace");
    assert_eq!(trace.matches("C_Login 0x0").count(), 2, "{trace}");
}

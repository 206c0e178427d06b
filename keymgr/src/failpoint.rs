//! Named places where a test can kill the process or pretend an error. Without the feature `failpoints`,
//! which only tests switch on, they are not there.
//!
//! `PAYHSM_FAILPOINT=NAME:N` kills the process, as SIGKILL does, when it passes NAME for the N-th time.

/// Passes a named place.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::pass($name);
    };
}
pub(crate) use failpoint;

/// Places of store, log and writer.
#[cfg(feature = "failpoints")]
pub const STORE: &[&str] = &[
    "takeover.before",
    "takeover.after",
    "writer.before_validate",
    "writer.before_commit",
    "writer.after_commit",
    "writer.half_answered",
    "store.before_commit",
    "checkpoint.before_sign",
    "checkpoint.after_persist",
];

/// Places of the service: before and after each thing that is done for a decision, and what nodes are answered.
#[cfg(feature = "failpoints")]
pub const SERVICE: &[&str] = &[
    "labour.before_generate",
    "labour.after_generate",
    "labour.before_wrap",
    "labour.after_wrap",
    "labour.before_issue",
    "labour.after_issue",
    "labour.tick",
    "link.hello",
    "link.before_receipt",
    "link.after_receipt",
    "link.after_parcel",
    "api.after_write",
];

/// Places of a change of the centre's own keys: before and after each step of it, when the old key is gone, and around the
/// moment from which checkpoints are signed by another key.
#[cfg(feature = "failpoints")]
pub const KEYS: &[&str] = &[
    "labour.before_key_step",
    "labour.after_key_step",
    "labour.after_key_erased",
    "writer.before_key",
    "writer.after_key",
];

/// Places of a key of the centre on its way into a token and out of it.
#[cfg(feature = "failpoints")]
pub const TOKEN: &[&str] = &["keys.coming", "keys.kept", "keys.going", "keys.destroyed"];

/// Kills the process if it is told to die here.
#[cfg(feature = "failpoints")]
pub fn pass(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static TOLD: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let told = std::env::var("PAYHSM_FAILPOINT").ok()?;
        let (name, count) = told.rsplit_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some((here, count)) = &*TOLD else { return };
    if here == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *count {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way: nothing more is done meanwhile.
        loop {
            std::thread::park();
        }
    }
}

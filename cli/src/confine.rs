//! What a crypto worker gives up before it opens a key (docs/security.md): rights, other users' files, the network, new
//! programs, swap. What the system refuses is logged; only the user that was asked for is insisted on.

use crate::exit::Failure;
use rustix::fs::{Gid, Uid};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;

/// A user of the system by name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Looks a user up in `/etc/passwd`; a number needs no entry there.
    pub fn find(name: &str) -> Result<Self, Failure> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::find_in(&passwd, name).ok_or_else(|| Failure::environment(format!("no user `{name}`")))
    }

    fn find_in(passwd: &str, name: &str) -> Option<Self> {
        let entry = |line: &str| {
            let mut fields = line.split(':');
            let (login, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let user = Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
            (login == name || uid == name).then_some(user)
        };
        let number = || name.parse().ok().map(|id| Self { uid: id, gid: id });
        passwd.lines().find_map(entry).or_else(number)
    }

    /// Becomes this user for good. To be called while the process has one thread.
    pub fn become_it(self) -> Result<(), Failure> {
        let failed = |error| Failure::environment(format!("cannot become user {}: {error}", self.uid));
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&[gid]).map_err(failed)?;
        set_thread_res_gid(gid, gid, gid).map_err(failed)?;
        set_thread_res_uid(uid, uid, uid).map_err(failed)
    }
}

/// Ends this process with the one that started it, also while a module hangs.
pub fn end_with_parent() {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        tracing::warn!(%error, "the worker may outlive a gateway that is killed");
    }
}

/// No new rights, no swap, and no system calls that a worker never needs. Keeps Unix sockets, which modules use;
/// `network` keeps the others too.
pub fn confine(network: bool) {
    if let Err(error) = set_no_new_privs(true) {
        tracing::warn!(%error, "the worker can gain rights");
    }
    lock_memory();
    let confined =
        filter(network).and_then(|program| apply_filter(&program).map_err(|error| error.to_string()));
    if let Err(error) = confined {
        tracing::warn!(error, "no system call filter here");
    }
}

// Pages are locked when they are touched. Under a limit that ends in failed allocations instead of unlocked
// ones, so then only what is there now is locked.
fn lock_memory() {
    let limit = getrlimit(Resource::Memlock);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let unlimited = limit.maximum.is_none() && setrlimit(Resource::Memlock, raised).is_ok();
    let privileged = rustix::process::geteuid().is_root();
    let now = MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT;
    let flags = if unlimited || privileged { now | MlockAllFlags::FUTURE } else { now };
    if let Err(error) = mlockall(flags) {
        tracing::warn!(%error, "memory is not locked: keys could reach swap");
    }
}

/// What a worker has no use for: other programs, other processes, kernel and file systems, and io_uring, which
/// would reach the network past this filter.
const NEVER: [libc::c_long; 27] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_open_by_handle_at,
];

fn filter(network: bool) -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    if !network {
        let family = u64::try_from(libc::AF_UNIX).unwrap_or_default();
        let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| error.to_string())?;
        rules.insert(libc::SYS_socket, vec![other]);
    }
    let architecture = std::env::consts::ARCH.try_into().map_err(|_| "unknown architecture".to_owned())?;
    let denied = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1));
    SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npayhsm:x:990:991::/:/bin/false\nbroken\n";
        assert_eq!(User::find_in(passwd, "payhsm"), Some(User { uid: 990, gid: 991 }));
        assert_eq!(User::find_in(passwd, "990"), Some(User { uid: 990, gid: 991 }));
        assert_eq!(User::find_in(passwd, "4242"), Some(User { uid: 4242, gid: 4242 }));
        assert_eq!(User::find_in(passwd, "nobody-here"), None);
    }

    // A filter holds for its thread: this one ends with the test.
    #[test]
    fn the_filter_leaves_unix_sockets_and_nothing_of_the_network_or_new_programs() {
        let tried = std::thread::spawn(|| {
            apply_filter(&filter(false)?).map_err(|error| error.to_string())?;
            let program = std::process::Command::new("/bin/true").status();
            Ok::<_, String>((
                std::net::UdpSocket::bind("127.0.0.1:0").map(|_| ()).map_err(|error| error.kind()),
                std::os::unix::net::UnixDatagram::unbound().is_ok(),
                program.is_ok_and(|status| status.success()),
            ))
        });
        let (network, unix, program) = tried.join().expect("no panic").expect("filters work here");
        assert_eq!(network, Err(std::io::ErrorKind::PermissionDenied));
        assert!(unix && !program);
    }
}

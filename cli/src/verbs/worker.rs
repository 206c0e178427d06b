//! `payhsm worker`: a crypto worker. Started by `payhsm serve --workers`, with the gateway's socket as its standard
//! input; ends when that is closed.

use crate::backend::{Source, SourceOptions};
use crate::confine::{self, User};
use crate::exit::{Exit, Failure};
use crate::{hardening, log};
use gateway::worker::{Ended, report_failure, serve};
use rustix::fs::{FileType, fstat};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// A crypto worker: the engine and its backend in a process of its own. Started by `payhsm serve --workers`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceOptions,
    /// User to become.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Keeps the network: for the module of a network HSM.
    #[arg(long)]
    network: bool,
    /// Log lines as JSON, like those of the gateway.
    #[arg(long)]
    log_json: bool,
    /// Bytes in which opened keys are kept; 0 keeps none.
    #[arg(long, value_name = "BYTES", default_value_t = gateway::Limits::default().key_cache)]
    key_cache: usize,
}

/// Runs the verb.
pub fn run(args: Args) -> Exit {
    log::start(args.log_json);
    let mut socket = socket()?;
    confine::end_with_parent();
    let source = Source::from(args.source);
    // What only the first user may read is read before there is another one.
    let opened = source.prepare().and_then(|prepared| {
        if let Some(user) = &args.user {
            User::find(user)?.become_it()?;
            // The system forgets it when the user changes.
            confine::end_with_parent();
        }
        hardening::harden();
        confine::confine(args.network);
        prepared.open()
    });
    let backend = match opened {
        Ok(backend) => backend,
        Err(failure) => {
            let why = failure.refusal();
            let failure = Failure::from(failure);
            report_failure(&mut socket, why, &failure.message).map_err(Failure::environment)?;
            return Err(failure);
        }
    };
    match serve(socket, backend, args.key_cache) {
        Ended::Closed => Ok(()),
        Ended::BackendLost => Err(Failure::environment("worker: the backend failed")),
        Ended::Socket(error) => Err(Failure::environment(format!("worker: socket: {error}"))),
        Ended::Version => Err(Failure::environment("worker: the gateway is of another version")),
    }
}

fn socket() -> Result<UnixStream, Failure> {
    let input = io::stdin();
    let is_socket =
        fstat(&input).is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Socket);
    if !is_socket {
        return Err(Failure::usage("a worker is started by `payhsm serve --workers N`"));
    }
    let own = input.as_fd().try_clone_to_owned().map_err(Failure::environment)?;
    Ok(UnixStream::from(own))
}

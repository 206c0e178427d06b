//! The servers that are measured: the gateway's own loop with an engine, or without one (echo).

use crate::host;
use crate::rotation::{self, Rotation};
use clap::ValueEnum;
use gateway::{BackendFactory, Config, Gateway, Limits, ListenSpec, ListenerConfig};
use hostcmd::Authorised;
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, RandomSource, Simulator};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// Length of the reply to CC: header, `CD00`, PIN length, block, format.
const REPLY: usize = 28;
/// Connections of one address.
const CONNECTIONS: usize = 16_384;

/// What a server does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Answers with a canned reply of the right length.
    Echo,
    /// Runs it.
    Engine,
    /// Runs it, while keys that it may name are rotated.
    Rotating,
    /// Runs it on the token that the environment names.
    Token,
}

/// Arguments of the server process.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it does with frames.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Processors to stay on; a loop for each.
    #[arg(long, value_delimiter = ',', required = true)]
    processors: Vec<usize>,
}

/// Serves until standard input ends.
pub fn run(args: &Args) -> io::Result<()> {
    host::pin(&args.processors);
    host::many_files();
    let spec = ListenSpec { address: SocketAddr::from(([127, 0, 0, 1], 0)), ..ListenSpec::default() };
    let config = Config {
        listeners: vec![ListenerConfig::new(spec)],
        cores: args.processors.len(),
        limits: Limits { connections: CONNECTIONS, per_address: CONNECTIONS, ..Limits::default() },
        authorised: Authorised::ALL,
        echo: (args.kind == Kind::Echo).then_some(REPLY),
        ..Config::default()
    };
    let factory: Arc<BackendFactory> = match args.kind {
        Kind::Token => {
            let token = crate::token::open()?;
            Arc::new(move || Box::new(token.backend()))
        }
        Kind::Echo | Kind::Engine | Kind::Rotating => Arc::new(backend),
    };
    let running = Gateway::start(config, factory).map_err(io::Error::other)?;
    let mut rotation = (args.kind == Kind::Rotating).then(|| Rotation::start(&running)).transpose()?;
    for listener in running.listeners() {
        println!("{} {}", listener.lmk, listener.address);
    }
    println!();
    io::stdout().flush()?;
    match &mut rotation {
        Some(rotation) => rotation.obey()?,
        None => io::stdin().read_to_end(&mut Vec::new()).map(drop)?,
    }
    running.wait();
    Ok(())
}

/// The simulator under the public test LMKs, with a random source that both processes can repeat.
pub fn backend() -> Box<dyn hsm::Backend> {
    let options = Options { random: RandomSource::seeded(1) };
    let simulator = Simulator::new(&LmkSet::public_test(), options);
    Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
}

/// A server process.
pub struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    ports: Vec<(LmkId, SocketAddr)>,
}

impl Server {
    /// Starts one on processors.
    pub fn start(kind: Kind, processors: &[usize]) -> io::Result<Self> {
        Self::start_with(kind, processors, [])
    }

    /// Starts one with more variables in its environment.
    pub fn start_with<const N: usize>(
        kind: Kind,
        processors: &[usize],
        environment: [(String, String); N],
    ) -> io::Result<Self> {
        let name = kind.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let processors: Vec<String> = processors.iter().map(ToString::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .envs(environment)
            .args(["serve", "--kind", &name, "--processors", &processors.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output of the server"))?;
        let (mut ports, mut output) = (Vec::new(), BufReader::new(stdout));
        for line in output.by_ref().lines() {
            let line = line?;
            let Some((lmk, address)) = line.split_once(' ') else { break };
            let (lmk, address) = (lmk.parse(), address.parse());
            ports.push((LmkId(lmk.map_err(io::Error::other)?), address.map_err(io::Error::other)?));
        }
        Ok(Self { child, output, ports })
    }

    /// Port of an LMK.
    pub fn address(&self, lmk: LmkId) -> io::Result<SocketAddr> {
        let port = self.ports.iter().find(|(id, _)| *id == lmk);
        port.map(|(_, address)| *address).ok_or_else(|| io::Error::other("the server has no such port"))
    }

    /// Begins to rotate keys, or ends it.
    fn order(&mut self) -> io::Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| io::Error::other("no input of the server"))?;
        input.write_all(rotation::ORDER)?;
        input.flush()
    }

    /// Does something while keys are rotated; with the number of generations that came into use meanwhile.
    pub fn rotating<T>(&mut self, work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, u32)> {
        self.order()?;
        let done = work();
        self.order()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok((done?, line.trim().parse().map_err(io::Error::other)?))
    }

    /// Processor time of the server so far, in seconds.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        host::cpu_seconds(self.child.id())
    }

    /// Its anonymous resident memory, in bytes.
    pub fn anonymous_bytes(&self) -> io::Result<f64> {
        host::anonymous_bytes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

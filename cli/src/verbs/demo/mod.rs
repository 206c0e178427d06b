//! `payhsm demo`: the main job on embedded defaults. Starts a gateway on loopback, makes keys over the wire,
//! translates and verifies, and checks every answer with cryptography of its own.

mod load;
mod rotation;
mod steps;
mod wire;

use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use gateway::{Config, Gateway, ListenSpec, ListenerConfig, Running};
use hostcmd::decode::{Decoded, Decoder};
use hostcmd::{Authorised, Port, Settings, Unit};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use indicatif::{ProgressBar, ProgressStyle};
use load::Load;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use steps::{Event, Session, Tally};
use wire::Wire;

/// Runs the main job on embedded defaults and checks every answer; stops by itself.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Seconds of the throughput run at the end.
    #[arg(long, visible_alias = "seconds", default_value_t = 3.0, value_name = "S")]
    duration: f64,
    /// One JSON document on standard output instead of the story.
    #[arg(long)]
    json: bool,
}

/// Other demonstrations.
#[derive(Debug, Subcommand)]
enum What {
    /// Rotates the keys of a fleet under load, and proves that no transaction was lost.
    Rotation(rotation::RotationArgs),
}

/// Runs the verb.
pub fn run(args: &DemoArgs) -> Exit {
    if let Some(What::Rotation(args)) = &args.what {
        return rotation::run(args);
    }
    let duration = Duration::try_from_secs_f64(args.duration).map_err(Failure::usage)?;
    let server = start().map_err(Failure::environment)?;
    let address = server.address(LmkId(0)).ok_or_else(|| Failure::environment("no listener for LMK 00"))?;
    let mut tally = Tally::default();
    let load = converse(args, address, duration, &mut tally).map_err(Failure::environment)?;
    tally.count("CC", load.replies, load.wrong);
    server.wait();
    if args.json {
        println!("{}", document(&tally, &load));
    } else {
        story_end(&tally, &load);
    }
    if tally.wrong == 0 && load.replies > 0 {
        Ok(())
    } else {
        Err(Failure::check(format!("{} replies were not right", tally.wrong)))
    }
}

fn start() -> Result<Running, gateway::StartError> {
    let spec = ListenSpec { address: SocketAddr::from(([127, 0, 0, 1], 0)), ..ListenSpec::default() };
    let config = Config {
        listeners: vec![ListenerConfig::new(spec)],
        authorised: Authorised::ALL,
        unit: Unit { decimalisation_tables: vec![*b"0123456789012345"], ..Unit::default() },
        ..Config::default()
    };
    Gateway::start(config, Arc::new(backend))
}

fn backend() -> Box<dyn hsm::Backend> {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
    Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
}

fn random(out: &mut [u8]) {
    // Without randomness nothing here is worth showing.
    getrandom::fill(out)
        .unwrap_or_else(|error| unreachable!("the operating system gave no randomness: {error}"));
}

fn converse(
    args: &DemoArgs,
    address: SocketAddr,
    duration: Duration,
    tally: &mut Tally,
) -> std::io::Result<Load> {
    if !args.json {
        println!("gateway on {address}, LMK 00 (public variant test set), strict profile, authorised\n");
    }
    let quiet = args.json;
    let mut report = |event: &Event| {
        if !quiet {
            show(event);
        }
    };
    let wire = Wire::connect(address)?;
    let keys = Session::new(wire, tally, &mut report, random).run()?;
    let Some(keys) = keys else { return Ok(Load::default()) };
    let bar = progress(duration, args.json);
    let load = load::run(address, &keys, duration);
    bar.finish_and_clear();
    load
}

// Ticks by itself; only for people who look at a terminal.
fn progress(duration: Duration, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() || duration < Duration::from_secs(1) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(format!("translating PINs for {} s", duration.as_secs_f64()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn show(event: &Event) {
    let port = Port { header_length: 0, ..Port::new(LmkId(0), Settings::STRICT) };
    let decoder = Decoder { port: &port, reveal: false };
    let verdict = if event.right { "verified" } else { "WRONG" };
    println!("{}: {verdict}", event.what);
    line("   >", &decoder.request(&event.request));
    line("   <", &decoder.reply(&event.reply));
    println!();
}

fn line(mark: &str, decoded: &Decoded) {
    let fields = decoded.fields.iter().map(|field| format!("{} {}", field.name, field.text));
    println!("{mark} {}", fields.collect::<Vec<_>>().join(" · "));
}

fn story_end(tally: &Tally, load: &Load) {
    let rate = load.replies as f64 / load.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let counts = tally.commands.iter().map(|(code, n)| format!("{code} {n}"));
    println!("verified replies: {}", counts.collect::<Vec<_>>().join(", "));
    println!("wrong replies:    {}", tally.wrong);
    println!(
        "PIN translation:  {} CC in {:.1} s = {rate:.0}/s over 4 connections, 64 in flight each, every reply compared",
        load.replies,
        load.elapsed.as_secs_f64(),
    );
}

fn document(tally: &Tally, load: &Load) -> serde_json::Value {
    let seconds = load.elapsed.as_secs_f64();
    serde_json::json!({
        "commands": tally.commands,
        "wrong": tally.wrong,
        "throughput": {
            "command": "CC",
            "replies": load.replies,
            "seconds": seconds,
            "per_second": (load.replies as f64 / seconds.max(f64::MIN_POSITIVE)).round(),
        },
    })
}

//! What an idle connection costs the server: at most 2 KiB of its memory, measured from outside as the slope of
//! its anonymous resident memory over connections that have each been served once.
#![allow(clippy::print_stdout)] // the figure, for whoever reads the log

use std::fs;
use std::time::Duration;
use tests::server::Server;
use tests::wire::Wire;

const BEFORE: usize = 100;
const AFTER: usize = 400;
const LIMIT_BYTES: usize = 2048;

fn anonymous_bytes(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server lives");
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("RssAnon");
    let kib: usize = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kib * 1024
}

fn open(server: &Server, kept: &mut Vec<Wire>, until: usize) {
    while kept.len() < until {
        let mut connection = server.connect(0);
        assert!(connection.exchange(b"NC").expect("reply").starts_with(b"ND00"));
        kept.push(connection);
    }
    // The last batch of each connection must have been given back.
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn an_idle_connection_costs_at_most_two_kibibytes() {
    // As many loops as a small machine has: each has memory of its own, which its first connections bring.
    let server = Server::start(&["--cores", "2"]);
    let mut kept = Vec::new();
    open(&server, &mut kept, BEFORE);
    let before = anonymous_bytes(server.pid());
    open(&server, &mut kept, AFTER);
    let after = anonymous_bytes(server.pid());
    let each = after.saturating_sub(before) / (AFTER - BEFORE);
    println!("{each} bytes for each idle connection ({before} to {after})");
    assert!(each <= LIMIT_BYTES, "{each} bytes for each idle connection");
}

//! Clients that take without giving: those who never read, drip, or only hold a connection (security.md,
//! faults 9 and 10). They are cut or cost little, and a good client notices nothing.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::server::Server;
use tests::wire;

const MEMORY_GROWTH_MAX_KIB: u64 = 64 * 1024;

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn assert_good_client_is_served(server: &Server) {
    let start = Instant::now();
    let mut good = server.connect(0);
    for _ in 0..100 {
        assert_eq!(good.exchange(b"B20004ping").expect("a reply"), b"B300ping");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "a good client waits {:?}", start.elapsed());
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory_and_is_cut() {
    let mut server = Server::start(&[]);
    let before = resident_kib(&server);
    let mut request = Vec::new();
    wire::append(&mut request, &[b"HEADB23000".as_slice(), &vec![b'x'; 0x3000]].concat());
    let mut greedy = TcpStream::connect(server.address(0)).expect("connects");
    greedy.set_write_timeout(Some(Duration::from_secs(15))).expect("set");
    let (start, mut sent, mut cut) = (Instant::now(), 0u64, false);
    while start.elapsed() < Duration::from_secs(14) && !cut {
        match greedy.write(&request) {
            Ok(count) => sent += count as u64,
            Err(error) => cut = !matches!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(sent < 512 << 20, "the server reads on although nobody takes its replies");
    }
    assert!(cut, "not cut after {:?}", start.elapsed());
    let growth = resident_kib(&server).saturating_sub(before);
    assert!(growth < MEMORY_GROWTH_MAX_KIB, "grown by {growth} KiB for {sent} bytes");
    assert_good_client_is_served(&server);
    assert!(server.is_up());
}

#[test]
fn a_client_that_drips_is_cut_within_ten_seconds() {
    let server = Server::start(&[]);
    let mut slow = server.connect(0);
    slow.stream().set_read_timeout(Some(Duration::from_millis(1))).expect("set");
    let start = Instant::now();
    let frame = [b"\0\xFFHEADB2".as_slice(), &[b'0'; 100]].concat();
    let cut = frame.iter().any(|byte| {
        std::thread::sleep(Duration::from_millis(250));
        slow.write(&[*byte]).is_err() || matches!(slow.stream().peek(&mut [0]), Ok(0))
    });
    assert!(cut && start.elapsed() < Duration::from_secs(10), "cut: {cut}, after {:?}", start.elapsed());
    assert_good_client_is_served(&server);
}

#[test]
fn idle_connections_keep_nobody_out() {
    let server = Server::start(&[]);
    let before = resident_kib(&server);
    let idle: Vec<TcpStream> =
        (0..400).map(|_| TcpStream::connect(server.address(0)).expect("connects")).collect();
    assert_good_client_is_served(&server);
    let growth = resident_kib(&server).saturating_sub(before);
    assert!(growth < 32 * 1024, "{} idle connections cost {growth} KiB", idle.len());
}

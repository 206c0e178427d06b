//! Start, ports, admin port, drain.

mod common;

use common::*;
use gateway::{Config, Gateway, Limits, StartError};
use hostcmd::Role;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn every_lmk_has_a_port_and_roles_are_kept() {
    let running = start(listening(&["127.0.0.1:0", "officer@127.0.0.1:0/01"]));
    let all: Vec<_> = running.listeners().iter().map(|l| (l.lmk.0, l.role)).collect();
    assert_eq!(all, [(0, Role::Any), (1, Role::Any), (1, Role::Officer)]);
    assert!(running.any_role());
    for listener in running.listeners() {
        let mut stream = connect_to(listener.address);
        stream.write_all(&echo(1, b"x")).unwrap();
        assert_eq!(receive(&mut stream), echoed(1, b"x"));
    }
}

#[test]
fn what_was_asked_for_is_exit_code_2_and_what_was_found_is_3() {
    let refused = |config| Gateway::start(config, Arc::new(backend)).err().map(|e: StartError| e.exit_code());
    assert_eq!(refused(listening(&["127.0.0.1:1500", "127.0.0.1:1501"])), Some(2));
    assert_eq!(refused(listening(&["0.0.0.0:1500"])), Some(2));
    assert_eq!(refused(listening(&["127.0.0.1:1500/09"])), Some(2));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(refused(listening(&[&format!("{}/00", taken.local_addr().unwrap())])), Some(3));
    let admin = Some(taken.local_addr().unwrap());
    assert_eq!(refused(Config { admin, ..config() }), Some(3));
    let lost = Gateway::start(config(), Arc::new(|| panic!("no backend")));
    assert_eq!(lost.err().map(|e| e.exit_code()), Some(3));
}

#[test]
fn metrics_have_the_agreed_names_and_labels() {
    let running = start(with_admin(config()));
    let mut stream = connect(&running);
    stream
        .write_all(&[echo(1, b"x"), echo(2, b"y"), frame(b"HEADB2zzzz"), frame(b"HEADzz")].concat())
        .unwrap();
    (0..4).for_each(|_| drop(receive(&mut stream)));
    let admin = running.admin().unwrap();
    let listener = format!("listener=\"{}/00\"", running.listeners()[0].address);
    wait_for_metric(admin, &format!("payhsm_commands_total{{command=\"B2\",code=\"00\",{listener}}} 2"));
    wait_for_metric(admin, &format!("payhsm_commands_total{{command=\"B2\",code=\"15\",{listener}}} 1"));
    wait_for_metric(admin, &format!("payhsm_commands_total{{command=\"unknown\",code=\"68\",{listener}}} 1"));
    wait_for_metric(admin, &format!("payhsm_connections{{{listener}}} 1"));
    for stage in ["queue", "backend", "total"] {
        let count = format!("payhsm_command_duration_seconds_count{{command=\"B2\",stage=\"{stage}\"}} 3");
        wait_for_metric(admin, &count);
    }
    wait_for_metric(admin, "payhsm_inflight_commands 0");
    let text = http(admin, "/metrics").1;
    for name in
        ["payhsm_batch_frames_bucket", "payhsm_build_info{version=", "payhsm_connections_rejected_total"]
    {
        assert!(text.contains(name), "{name} in\n{text}");
    }
    assert!(!text.contains("HEAD"), "nothing of a frame");
    assert!(http(admin, "/other").0.contains("404"));
}

#[test]
fn readiness_follows_the_backend() {
    let running = start(with_admin(config()));
    let admin = running.admin().unwrap();
    assert!(http(admin, "/healthz").0.contains("200"));
    assert!(http(admin, "/readyz").0.contains("200"));
    running.health().set_backend_ready(false);
    let (status, body) = http(admin, "/readyz");
    assert!(status.contains("503") && body.contains("backend"), "{status} {body}");
    running.health().set_backend_ready(true);
    assert!(http(admin, "/readyz").0.contains("200"));
}

// Clients in lock step under load: every frame that was sent before the drain began is answered, and what
// comes later is answered or meets a clean end, never a reset in the middle of a reply.
#[test]
fn a_drain_answers_what_was_received_and_ends_in_time() {
    let mut running = start(with_admin(config()));
    let (address, admin) = (running.listeners()[0].address, running.admin().unwrap());
    let answered = AtomicU64::new(0);
    let client = || {
        let mut stream = connect_to(address);
        loop {
            let burst: Vec<u8> = (0..32).flat_map(|n| echo(n, b"drain")).collect();
            if stream.write_all(&burst).is_err() {
                return;
            }
            for n in 0..32 {
                let mut reply = [0; 15];
                match std::io::Read::read_exact(&mut stream, &mut reply) {
                    Ok(()) => assert_eq!(reply[2..], echoed(n, b"drain")),
                    Err(_) => return,
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(client);
        }
        let mut idle = connect_to(address);
        idle.write_all(&echo(1, b"x")).unwrap();
        receive(&mut idle);
        while answered.load(Ordering::Relaxed) < 2000 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let waiting: Vec<u8> = (0..100).flat_map(|n| echo(n, b"in flight")).collect();
        idle.write_all(&waiting).unwrap();
        let began = Instant::now();
        running.shutdown();
        assert!(http(admin, "/readyz").0.contains("503"));
        for n in 0..100 {
            assert_eq!(receive(&mut idle), echoed(n, b"in flight"));
        }
        assert!(closed(&mut idle));
        assert!(running.wait());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_drain_does_not_wait_for_those_who_never_finish() {
    let limits = Limits { drain: Duration::from_millis(300), ..Limits::default() };
    let running = start(Config { limits, ..config() });
    let mut half = connect(&running);
    half.write_all(b"\0\x20HEAD").unwrap();
    std::thread::sleep(Duration::from_millis(30));
    let began = Instant::now();
    assert!(running.wait());
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(closed(&mut half));
}

#[test]
fn what_is_authorised_can_be_changed_while_it_runs() {
    let running = start(config());
    running.set_authorised(hostcmd::Authorised::ALL);
    still_serves(&running);
}

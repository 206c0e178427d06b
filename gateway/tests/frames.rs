//! Frames on a real socket: order, splits, batches, refusals, back-pressure.

mod common;

use common::*;
use gateway::{Config, Gateway, Limits};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn replies_come_in_order_of_arrival_however_many_frames_a_segment_has() {
    let running = start(config());
    let mut stream = connect(&running);
    // Far more frames than the pipeline depth, in one write: the rest waits its turn.
    let all: Vec<u8> = (0..2000).flat_map(|n| echo(n, b"data")).collect();
    stream.write_all(&all).unwrap();
    for n in 0..2000 {
        assert_eq!(receive(&mut stream), echoed(n, b"data"));
    }
}

#[test]
fn frames_split_at_every_byte_are_answered_once_each() {
    let running = start(config());
    let mut stream = connect(&running);
    let two = [echo(1, b"first"), echo(2, b"second")].concat();
    for byte in &two {
        stream.write_all(&[*byte]).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(receive(&mut stream), echoed(1, b"first"));
    assert_eq!(receive(&mut stream), echoed(2, b"second"));
    for cut in 1..two.len() {
        stream.write_all(&two[..cut]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        stream.write_all(&two[cut..]).unwrap();
        assert_eq!(receive(&mut stream), echoed(1, b"first"), "cut at {cut}");
        assert_eq!(receive(&mut stream), echoed(2, b"second"), "cut at {cut}");
    }
}

#[test]
fn the_longest_frame_travels_both_ways() {
    let running = start(config());
    let mut stream = connect(&running);
    let data = vec![b'x'; 32 * 1024 - 10];
    for n in 0..4 {
        stream.write_all(&echo(n, &data)).unwrap();
        assert_eq!(receive(&mut stream), echoed(n, &data));
    }
}

#[test]
fn clients_do_not_get_each_others_replies() {
    let running = start(config());
    let address = running.listeners()[0].address;
    let client = |id: u32| {
        let mut stream = connect_to(address);
        for round in 0..50 {
            let data = format!("{id}-{round}");
            let burst: Vec<u8> = (0..20).flat_map(|n| echo(id * 100 + n, data.as_bytes())).collect();
            stream.write_all(&burst).unwrap();
            for n in 0..20 {
                assert_eq!(receive(&mut stream), echoed(id * 100 + n, data.as_bytes()));
            }
        }
    };
    std::thread::scope(|scope| {
        for id in 0..16 {
            scope.spawn(move || client(id));
        }
    });
}

#[test]
fn an_oversize_frame_gets_15_under_its_header_after_the_replies_before_it() {
    let running = start(with_admin(config()));
    let mut stream = connect(&running);
    stream.write_all(&echo(1, b"before")).unwrap();
    stream.write_all(b"\xFF\xFF\x00\xFEhdCA and much more that nobody reads").unwrap();
    assert_eq!(receive(&mut stream), echoed(1, b"before"));
    assert_eq!(receive(&mut stream), b"\x00\xFEhdCB15");
    assert!(closed(&mut stream));
    let admin = running.admin().unwrap();
    wait_for_metric(admin, "payhsm_frames_invalid_total{reason=\"long\"} 1");
    still_serves(&running);
}

// Closing a socket with unread bytes resets the connection, and a reset can overtake the reply.
#[test]
fn the_refusal_of_an_oversize_frame_is_followed_by_a_clean_end_whatever_was_sent_behind_it() {
    let running = start(config());
    for _ in 0..5 {
        let mut stream = connect(&running);
        let mut bytes = b"\x80\x01HEADCA".to_vec();
        bytes.resize(1 << 20, b'x');
        stream.write_all(&bytes).unwrap();
        assert_eq!(receive(&mut stream), b"HEADCB15");
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "not a reset");
    }
}

#[test]
fn frames_that_cannot_be_answered_close_the_connection_and_are_counted() {
    let running = start(with_admin(config()));
    for bad in [&b"\0\0"[..], b"\0\x05HEADN", b"\0\x06HEAD\x01\x02"] {
        let mut stream = connect(&running);
        stream.write_all(&[&echo(1, b"good")[..], bad, &echo(2, b"never")].concat()).unwrap();
        assert_eq!(receive(&mut stream), echoed(1, b"good"), "{bad:?}");
        assert!(closed(&mut stream), "{bad:?}");
    }
    let mut cut = connect(&running);
    cut.write_all(b"\0\x06HEA").unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    assert!(closed(&mut cut));
    let admin = running.admin().unwrap();
    for line in ["{reason=\"short\"} 2", "{reason=\"code\"} 1", "{reason=\"cut\"} 1"] {
        wait_for_metric(admin, &format!("payhsm_frames_invalid_total{line}"));
    }
    still_serves(&running);
}

#[test]
fn unknown_commands_are_answered_68_and_the_connection_stays() {
    let running = start(config());
    let mut stream = connect(&running);
    stream.write_all(&[frame(b"HEADzz?"), echo(1, b"x")].concat()).unwrap();
    assert_eq!(receive(&mut stream), b"HEADz{68");
    assert_eq!(receive(&mut stream), echoed(1, b"x"));
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_replies() {
    let running = start(config());
    let mut stream = connect(&running);
    let all: Vec<u8> = (0..600).flat_map(|n| echo(n, b"last words")).collect();
    stream.write_all(&all).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for n in 0..600 {
        assert_eq!(receive(&mut stream), echoed(n, b"last words"));
    }
    assert!(closed(&mut stream));
}

// The peer sends without reading: it is not read from any more once its replies do not fit, so the bytes
// in flight are bounded by the two socket buffers. When it reads at last, nothing is missing.
#[test]
fn a_client_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let running = start(config());
    let mut stream = connect(&running);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let one = echo(1, &[b'x'; 8000]);
    let mut written = 0;
    while let Ok(n) = stream.write(&one[written % one.len()..]) {
        written += n;
        assert!(written < 64 << 20, "the gateway takes everything");
    }
    let whole = written / one.len();
    assert!(whole > 10);
    still_serves(&running);
    for n in 0..whole {
        assert_eq!(receive(&mut stream), echoed(1, &[b'x'; 8000]), "{n} of {whole}");
    }
}

#[test]
fn headers_of_other_lengths() {
    for (header_length, header) in [(0, ""), (1, "h"), (12, "twelve bytes")] {
        let running = start(Config { header_length, ..config() });
        let mut stream = connect(&running);
        stream.write_all(&frame(format!("{header}B20001x").as_bytes())).unwrap();
        assert_eq!(receive(&mut stream), format!("{header}B300x").as_bytes());
    }
}

#[test]
fn ebcdic_ports_answer_in_ebcdic() {
    let mut config = config();
    config.listeners[0].ebcdic = true;
    let running = start(config);
    let mut stream = connect(&running);
    let ebcdic = |text: &[u8]| text.iter().map(|c| hostcmd::wire::to_ebcdic(*c)).collect::<Vec<u8>>();
    stream.write_all(&frame(&[b"HEAD", &ebcdic(b"B20002")[..], b"\x01\xFE"].concat())).unwrap();
    assert_eq!(receive(&mut stream), [b"HEAD", &ebcdic(b"B300")[..], b"\x01\xFE"].concat());
}

#[test]
fn echo_mode_answers_a_canned_frame_of_the_length_asked_for() {
    let running = start(Config { echo: Some(32), ..config() });
    let mut stream = connect(&running);
    stream.write_all(&frame(b"HEADCAwhatever")).unwrap();
    let reply = receive(&mut stream);
    assert_eq!((reply.len(), &reply[..8]), (32, &b"HEADCB00"[..]));
}

#[test]
fn no_batch_takes_more_of_a_connection_than_the_depth() {
    for depth in [1, 4] {
        let limits = Limits { depth, ..Limits::default() };
        let running = start(with_admin(Config { limits, ..config() }));
        let mut stream: TcpStream = connect(&running);
        let all: Vec<u8> = (0..300).flat_map(|n| echo(n, b"data")).collect();
        stream.write_all(&all).unwrap();
        for n in 0..300 {
            assert_eq!(receive(&mut stream), echoed(n, b"data"));
        }
        // Counts follow the replies, so the last batch may be missing for a moment.
        let admin = running.admin().unwrap();
        wait_for_metric(admin, "payhsm_batch_frames_sum 300");
        let text = http(admin, "/metrics").1;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<usize>().ok()).unwrap()
        };
        let batches = value("payhsm_batch_frames_count");
        assert!(batches >= 300 / depth);
        assert_eq!(value(&format!("payhsm_batch_frames_bucket{{le=\"{depth}\"}}")), batches, "{depth}");
    }
}

// While the backend of the one core is busy with the first frame, the others arrive: they run together.
#[test]
fn frames_of_all_ready_connections_run_together() {
    let slow = || slow_backend(Duration::from_millis(1_000), &Arc::default());
    let running = Gateway::start(with_admin(Config { cores: 1, ..config() }), Arc::new(slow)).unwrap();
    let mut all: Vec<_> = (0..8).map(|_| connect(&running)).collect();
    for stream in &mut all {
        stream.write_all(&echo(1, b"known to the core")).unwrap();
        receive(stream);
    }
    all[0].write_all(&frame(b"HEADN0008")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for stream in &mut all[1..] {
        stream.write_all(&frame(b"HEADN0008")).unwrap();
    }
    for stream in &mut all {
        assert_eq!(receive(stream), b"HEADN142");
    }
    for line in ["{le=\"1\"} 9", "{le=\"4\"} 9", "{le=\"8\"} 10", "{le=\"+Inf\"} 10"] {
        wait_for_metric(running.admin().unwrap(), &format!("payhsm_batch_frames_bucket{line}"));
    }
}

#[test]
fn a_backend_that_panics_costs_its_batch_and_nothing_else() {
    let panics = Arc::new(AtomicBool::new(false));
    let made = Arc::clone(&panics);
    let backend = move || slow_backend(Duration::ZERO, &made);
    let running = Gateway::start(Config { cores: 1, ..config() }, Arc::new(backend)).unwrap();
    let (mut hit, mut other) = (connect(&running), connect(&running));
    other.write_all(&echo(1, b"x")).unwrap();
    receive(&mut other);
    panics.store(true, Ordering::Relaxed);
    hit.write_all(&frame(b"HEADN0008")).unwrap();
    assert!(closed(&mut hit));
    other.write_all(&frame(b"HEADN0008")).unwrap();
    assert_eq!(receive(&mut other), b"HEADN142");
    assert!(running.health().ready());
}

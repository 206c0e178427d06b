//! A gateway over a backend that does nothing, and a client that writes and reads frames.
#![allow(dead_code, clippy::arithmetic_side_effects)] // each test file uses a part of it

use gateway::{Config, Gateway, ListenerConfig, Running};
use hsm::{Backend, BackendClass, HsmError, LmkId, LmkInfo, LmkScheme, OpBatch};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A backend that refuses everything, after `pause`; the first batch of `panics` panics.
pub struct Idle {
    lmks: Vec<LmkInfo>,
    pause: Duration,
    panics: Arc<AtomicBool>,
}

impl Backend for Idle {
    fn run(&mut self, ops: &mut OpBatch) {
        std::thread::sleep(self.pause);
        assert!(!self.panics.swap(false, Ordering::Relaxed), "as the test wants it");
        ops.for_each(|_, _, _| Err(HsmError::Backend));
    }
    fn lmks(&self) -> &[LmkInfo] {
        &self.lmks
    }
    fn class(&self) -> BackendClass {
        BackendClass::C
    }
}

pub fn backend() -> Box<dyn Backend> {
    slow_backend(Duration::ZERO, &Arc::default())
}

pub fn slow_backend(pause: Duration, panics: &Arc<AtomicBool>) -> Box<dyn Backend> {
    let info =
        |id, scheme| LmkInfo { id: LmkId(id), scheme, test: true, check: *b"000000", comment: "".into() };
    let lmks = vec![info(0, LmkScheme::Variant), info(1, LmkScheme::TdesBlock)];
    Box::new(Idle { lmks, pause, panics: Arc::clone(panics) })
}

/// One listener for LMK 00 on a free port, two cores.
pub fn config() -> Config {
    listening(&["127.0.0.1:0/00"])
}

pub fn listening(specs: &[&str]) -> Config {
    let listeners = specs.iter().map(|s| ListenerConfig::new(s.parse().unwrap())).collect();
    Config { listeners, cores: 2, ..Config::default() }
}

pub fn start(config: Config) -> Running {
    Gateway::start(config, Arc::new(backend)).unwrap()
}

pub fn connect(running: &Running) -> TcpStream {
    connect_to(running.listeners()[0].address)
}

pub fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// An echo command with `data`, under the header `number`.
pub fn echo(number: u32, data: &[u8]) -> Vec<u8> {
    let head = format!("{number:04}B2{:04X}", data.len());
    frame(&[head.as_bytes(), data].concat())
}

pub fn echoed(number: u32, data: &[u8]) -> Vec<u8> {
    [format!("{number:04}B300").as_bytes(), data].concat()
}

/// The next message, without its length field.
pub fn receive(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// True when the peer has closed: the end of the stream or a reset, and no byte before it.
pub fn closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

pub fn still_serves(running: &Running) {
    let mut stream = connect(running);
    stream.write_all(&echo(7, b"alive")).unwrap();
    assert_eq!(receive(&mut stream), echoed(7, b"alive"));
}

/// The answer of the admin port: status line and body.
pub fn http(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = connect_to(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Waits for a line of the metrics.
pub fn wait_for_metric(address: SocketAddr, line: &str) {
    let mut text = String::new();
    for _ in 0..100 {
        text = http(address, "/metrics").1;
        if text.lines().any(|l| l == line) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{line} never came in\n{text}");
}

pub fn with_admin(config: Config) -> Config {
    Config { admin: Some("127.0.0.1:0".parse().unwrap()), ..config }
}

//! A host's connection to a node that is a process of its own: requests go out when they are due, whatever is still
//! unanswered; replies come back to the load by their message header.

use super::load::Order;
use hostclient::frame::{Frames, append};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Length of the message header.
pub const HEADER: usize = 4;

/// The sending half.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
}

impl Line {
    /// Connects; replies to node `node`'s requests, and its end, come as orders.
    pub fn open(node: usize, address: SocketAddr, orders: Sender<Order>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        let receiving = stream.try_clone()?;
        let thread = std::thread::Builder::new().name(format!("line-{node}"));
        thread.spawn(move || {
            let end = receive(node, receiving, &orders);
            // The load may have ended before.
            let _ = orders.send(Order::Hung { node, why: end.err().map(|error| error.to_string()) });
        })?;
        Ok(Self { stream })
    }

    /// Sends one request.
    pub fn send(&mut self, ticket: u16, request: &str) -> io::Result<()> {
        let mut frame = Vec::with_capacity(request.len() + 2 + HEADER);
        let header = format!("{ticket:04X}");
        append(&mut frame, &[header.as_bytes(), request.as_bytes()]).map_err(io::Error::other)?;
        self.stream.write_all(&frame)
    }
}

fn receive(node: usize, mut stream: TcpStream, orders: &Sender<Order>) -> io::Result<()> {
    let (mut frames, mut bytes) = (Frames::default(), vec![0; 64 * 1024]);
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        frames.extend(bytes.get(..read).unwrap_or_default());
        while let Some(frame) = frames.next_frame() {
            let text = String::from_utf8_lossy(&frame);
            let Some((header, reply)) = text.split_at_checked(HEADER) else { continue };
            let Ok(ticket) = u16::from_str_radix(header, 16) else { continue };
            if orders.send(Order::Reply { node, ticket, reply: reply.to_owned() }).is_err() {
                return Ok(());
            }
        }
    }
}

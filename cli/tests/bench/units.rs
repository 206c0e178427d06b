//! Units to measure: a gateway of this program, and some that lie, die, refuse or spoil.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

pub struct Serving(Child, pub String);

impl Serving {
    pub fn start() -> Self {
        Self::start_with(&["--listen", "127.0.0.1:0/00"])
    }

    pub fn start_with(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
        command.args(["serve", "--insecure-test-lmk", "--authorised"]).args(words);
        command.args(["--config", "/dev/null"]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("listen="));
        Self(child, address.unwrap().to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// A unit that serves every connection like this; the first has number 0, and is the one that makes keys.
pub fn unit(serve: impl Fn(usize, TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let serve = serve.clone();
            thread::spawn(move || serve(number, stream.unwrap()));
        }
    });
    address
}

pub fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame).ok().map(|()| frame)
}

pub fn give(stream: &mut TcpStream, frame: &[u8]) -> bool {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], frame].concat()).is_ok()
}

// A unit that echoes. Of data that ends in 7 it changes a byte, and of data that ends in 5 it says 92; before
// data that ends in 020 it takes a break.
pub fn liar(breaks: Duration) -> String {
    unit(move |_, stream| lie(stream, breaks))
}

fn lie(mut stream: TcpStream, breaks: Duration) {
    while let Some(request) = frame(&mut stream) {
        let (header, data) = (&request[..4], &request[10..]);
        if data.ends_with(b"020") {
            thread::sleep(breaks);
        }
        let body = match data.last() {
            Some(b'5') => b"B392".to_vec(),
            Some(b'7') => [b"B300", &data[..data.len() - 1], b"8"].concat(),
            _ => [b"B300", data].concat(),
        };
        if !give(&mut stream, &[header, &body].concat()) {
            return;
        }
    }
}

// Echoes so many requests of a connection, and then closes it or says nothing any more.
pub fn dying(after: usize, hangs: bool) -> String {
    unit(move |_, mut stream| {
        let mut count = 0;
        while let Some(request) = frame(&mut stream) {
            count += 1;
            let good = [&request[..4], b"B300", &request[10..]].concat();
            if count <= after && !give(&mut stream, &good) || count > after && !hangs {
                return;
            }
        }
    })
}

// Passes everything on; replies with this code are spoilt, but on the connection that makes keys.
pub fn spoiling(upstream: &str, code: &'static [u8; 2]) -> String {
    let upstream = upstream.to_owned();
    unit(move |number, mut near| {
        let mut far = TcpStream::connect(&upstream).unwrap();
        let (mut up_from, mut up_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut up_from, &mut up_to);
            let _ = up_to.shutdown(std::net::Shutdown::Both);
        });
        while let Some(mut reply) = frame(&mut far) {
            if number > 0 && reply[4..6] == *code {
                reply.push(b'X');
            }
            if !give(&mut near, &reply) {
                break;
            }
        }
        let _ = near.shutdown(std::net::Shutdown::Both);
    })
}

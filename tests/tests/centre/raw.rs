//! Requests as bytes over a person's own TLS connection: what a client library would not send.

use keymgr::channel::client_tls;
use keymgr::client::{Client, ManagerAddress};
use keymgr::person::Identity;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head, body: bytes[end + 4..].to_vec() })
    }

    /// The stable code, from a problem document that has three fields and tells nothing of the inside.
    pub fn code(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        let fields: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["code", "detail", "status"]);
        assert_eq!(problem["status"], self.status);
        let text = problem.to_string().to_lowercase();
        for inner in
            ["/tmp", ".rs", ".db", "sqlite", "select ", "insert ", "panicked", "key_blocks", "unwrap"]
        {
            assert!(!text.contains(inner), "{text}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

pub async fn connect(address: &ManagerAddress, identity: &Identity) -> std::io::Result<TlsStream<TcpStream>> {
    let config = client_tls(&identity.channel_certificate, identity.channel_key(), address.key).unwrap();
    open(address.url.trim_start_matches("https://"), config).await
}

pub async fn open(address: &str, config: rustls::ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// Sends bytes and reads to the end of the connection.
pub async fn send(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) -> Option<Answer> {
    stream.write_all(bytes).await.ok()?;
    stream.flush().await.ok()?;
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    Answer::parse(&got)
}

/// A request of one line, headers and a body, on a connection of its own.
pub async fn ask(centre: &ManagerAddress, by: &Client, line: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = connect(centre, by.identity()).await.unwrap();
    let length = if headers.contains("transfer-encoding") || headers.contains("content-length") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let head = format!("{line} HTTP/1.1\r\nhost: kmc\r\nconnection: close\r\n{length}{headers}\r\n");
    send(&mut stream, &[head.as_bytes(), body].concat())
        .await
        .unwrap_or_else(|| panic!("no answer to {line}"))
}

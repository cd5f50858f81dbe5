//! Plays the server in tests.

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::params::ConnectParams;

/// A message as a server frames it.
pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.put_u32(u32::try_from(body.len() + 4).unwrap());
    message.extend_from_slice(body);
    message
}

pub(super) fn server_error(severity: &str, sqlstate: &str) -> Vec<u8> {
    let body = format!("S{severity}\0V{severity}\0C{sqlstate}\0Mas scripted\0\0");
    message(b'E', body.as_bytes())
}

pub(super) fn row(values: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(u16::try_from(values.len()).unwrap());
    for value in values {
        body.put_u32(u32::try_from(value.len()).unwrap());
        body.extend_from_slice(value.as_bytes());
    }
    message(b'D', &body)
}

pub(super) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// Rows of one column, and the end of the answer.
pub(super) fn rows(values: &[&str]) -> Vec<u8> {
    let rows: Vec<u8> = values.iter().flat_map(|value| row(&[value])).collect();
    [rows, message(b'C', b"SELECT\0"), ready()].concat()
}

/// A server that does what each test tells it to.
pub(super) struct ScriptedServer {
    stream: TcpStream,
    /// What the client said of itself, with zero bytes between.
    pub(super) startup: String,
}

impl ScriptedServer {
    pub(super) async fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    pub(super) fn params(listeners: &[&TcpListener]) -> ConnectParams {
        let hosts: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().to_string())
            .collect();
        let url = format!("postgres://relay@{}/shop?sslmode=disable", hosts.join(","));
        ConnectParams::parse(&url).unwrap()
    }

    /// Waits for a client and its startup message.
    pub(super) async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await.unwrap();
        Self { stream, startup: String::from_utf8(body[4..].to_vec()).unwrap() }
    }

    /// Waits for a client and lets it in.
    pub(super) async fn accept_login(listener: &TcpListener) -> Self {
        let mut server = Self::accept(listener).await;
        let login = [
            message(b'R', &[0; 4]),
            message(b'S', b"server_version\x0015.18 (Debian)\0"),
            message(b'K', &[0, 0, 0, 7, 0, 0, 0, 0]),
            ready(),
        ];
        server.send(&login.concat()).await;
        server
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Waits for a query that contains this text, and answers it.
    pub(super) async fn answer(&mut self, expected: &str, answer: impl AsRef<[u8]>) {
        let (tag, body) = self.receive().await;
        let query = String::from_utf8(body).unwrap();
        assert!(tag == b'Q' && query.contains(expected), "{query:?} has no {expected:?}");
        self.send(answer.as_ref()).await;
    }

    /// Waits for a message of the client.
    pub(super) async fn receive(&mut self) -> (u8, Vec<u8>) {
        let tag = self.stream.read_u8().await.unwrap();
        let length = self.stream.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.unwrap();
        (tag, body)
    }
}

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;

/// Both ends of a connection through a proxy.
struct Ends {
    proxy: Proxy,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Ends {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap()).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        Self { proxy, listener, client, server }
    }

    /// What the client said arrives, and an answer comes back.
    async fn expect_echo(&mut self) {
        self.client.write_all(b"there").await.unwrap();
        assert_eq!(read(&mut self.server, 5).await, b"there");
        self.server.write_all(b"and back").await.unwrap();
        assert_eq!(read(&mut self.client, 8).await, b"and back");
    }
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(LONG, stream.read_exact(&mut bytes)).await.expect("bytes in time").unwrap();
    bytes
}

async fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, std::io::Result<usize>) {
    let mut bytes = Vec::new();
    let result = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("an end in time");
    (bytes, result)
}

async fn expect_nothing(stream: &mut TcpStream) {
    let mut byte = [0];
    assert!(timeout(SHORT, stream.read(&mut byte)).await.is_err(), "something passed");
}

async fn expect_reset(stream: &mut TcpStream) {
    let (_, result) = read_to_end(stream).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn bytes_pass_both_ways_and_so_does_the_end() {
    let mut ends = Ends::new().await;
    ends.expect_echo().await;
    let large = vec![7; 300_000];
    let written = async { ends.client.write_all(&large).await };
    let (written, got) = tokio::join!(written, read(&mut ends.server, 300_000));
    written.unwrap();
    assert!(got == large);
    ends.client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut ends.server).await.1.unwrap(), 0);
    ends.server.write_all(b"last").await.unwrap();
    drop(ends.server);
    assert_eq!(read_to_end(&mut ends.client).await.0, b"last");
}

#[tokio::test]
async fn a_delay_is_a_delay_and_no_limit() {
    let mut ends = Ends::new().await;
    ends.proxy.delay(Way::Up, SHORT);
    let begun = Instant::now();
    ends.client.write_all(&[1; 100_000]).await.unwrap();
    read(&mut ends.server, 100_000).await;
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_limit_makes_many_bytes_take_their_time() {
    let mut ends = Ends::new().await;
    ends.proxy.limit(Way::Down, 100_000);
    let begun = Instant::now();
    ends.server.write_all(&[1; 30_000]).await.unwrap();
    read(&mut ends.client, 30_000).await;
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn one_way_stalls_without_the_other_and_nothing_is_lost() {
    let mut ends = Ends::new().await;
    ends.proxy.stall(Way::Up);
    ends.client.write_all(b"kept").await.unwrap();
    expect_nothing(&mut ends.server).await;
    ends.server.write_all(b"back").await.unwrap();
    assert_eq!(read(&mut ends.client, 4).await, b"back");
    ends.proxy.flow();
    assert_eq!(read(&mut ends.server, 4).await, b"kept");
}

#[tokio::test]
async fn the_end_does_not_pass_a_stalled_line() {
    let mut ends = Ends::new().await;
    ends.proxy.stall(Way::Down);
    drop(ends.server);
    expect_nothing(&mut ends.client).await;
    ends.proxy.flow();
    assert_eq!(read_to_end(&mut ends.client).await.1.unwrap(), 0);
}

#[tokio::test]
async fn half_of_a_connection_is_closed() {
    let mut ends = Ends::new().await;
    ends.expect_echo().await;
    ends.proxy.half_close(Way::Up);
    assert_eq!(read_to_end(&mut ends.server).await.1.unwrap(), 0);
    ends.server.write_all(b"still here").await.unwrap();
    assert_eq!(read(&mut ends.client, 10).await, b"still here");
}

#[tokio::test]
async fn a_reset_reaches_both_ends_of_open_connections_only() {
    let mut ends = Ends::new().await;
    ends.expect_echo().await;
    ends.proxy.reset();
    expect_reset(&mut ends.client).await;
    expect_reset(&mut ends.server).await;
    ends.client = TcpStream::connect(ends.proxy.address()).await.unwrap();
    ends.server = ends.listener.accept().await.unwrap().0;
    ends.expect_echo().await;
}

#[tokio::test]
async fn a_connection_is_cut_behind_its_last_byte_once() {
    let mut ends = Ends::new().await;
    ends.proxy.cut_after(Way::Up, 7);
    ends.client.write_all(b"there").await.unwrap();
    assert_eq!(read(&mut ends.server, 5).await, b"there");
    assert!(ends.proxy.is_armed());
    ends.client.write_all(b"again").await.unwrap();
    expect_reset(&mut ends.client).await;
    // A reset may overtake the last bytes, but none passes behind them.
    let (bytes, result) = read_to_end(&mut ends.server).await;
    assert!(b"ag".starts_with(&bytes), "{bytes:?}");
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(!ends.proxy.is_armed());
}

#[tokio::test]
async fn one_byte_is_turned_over() {
    let mut ends = Ends::new().await;
    ends.proxy.flip_after(Way::Down, 6);
    ends.server.write_all(b"0123").await.unwrap();
    assert_eq!(read(&mut ends.client, 4).await, b"0123");
    ends.server.write_all(b"4567").await.unwrap();
    assert_eq!(read(&mut ends.client, 4).await, [b'4', b'5', !b'6', b'7']);
    ends.expect_echo().await;
}

#[tokio::test]
async fn new_connections_are_refused_for_a_while() {
    let mut ends = Ends::new().await;
    ends.proxy.refuse(true);
    let mut refused = TcpStream::connect(ends.proxy.address()).await.unwrap();
    expect_reset(&mut refused).await;
    assert_eq!(ends.proxy.attempts(), 2);
    ends.expect_echo().await;
    ends.proxy.refuse(false);
    ends.client = TcpStream::connect(ends.proxy.address()).await.unwrap();
    ends.server = ends.listener.accept().await.unwrap().0;
    ends.expect_echo().await;
}

#[tokio::test]
async fn nothing_passes_until_the_target_is_known() {
    let proxy = Proxy::nowhere().await.unwrap();
    let mut early = TcpStream::connect(proxy.address()).await.unwrap();
    expect_reset(&mut early).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy.lead_to(listener.local_addr().unwrap());
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    let server = listener.accept().await.unwrap().0;
    Ends { proxy, listener, client, server }.expect_echo().await;
}

#[tokio::test]
async fn all_stops_before_a_piece_or_behind_it() {
    for (side, passed) in [(Side::Before, false), (Side::Behind, true)] {
        let mut ends = Ends::new().await;
        ends.proxy.catch(side, |piece| piece == b"this one");
        ends.expect_echo().await;
        assert!(ends.proxy.is_armed());
        ends.client.write_all(b"this one").await.unwrap();
        match passed {
            true => assert_eq!(read(&mut ends.server, 8).await, b"this one"),
            false => expect_nothing(&mut ends.server).await,
        }
        assert!(!ends.proxy.is_armed());
        ends.server.write_all(b"answer").await.unwrap();
        expect_nothing(&mut ends.client).await;
        ends.proxy.flow();
        assert_eq!(read(&mut ends.client, 6).await, b"answer");
        if !passed {
            assert_eq!(read(&mut ends.server, 8).await, b"this one");
        }
        ends.client.write_all(b"this one").await.unwrap();
        assert_eq!(read(&mut ends.server, 8).await, b"this one", "only once");
    }
}

/// No wait in order to synchronise: for so long nothing may be seen, or something must take.
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

//! One connection through the proxy: for each way a reader, and a writer that lets pieces through
//! when they are due.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Conditions, Lane, Marks, Side, Way, lock};

/// Bytes, and when they may go on.
type Piece = (Instant, Vec<u8>);

struct Line<'a> {
    way: Way,
    conditions: watch::Sender<Conditions>,
    marks: &'a Mutex<Marks>,
}

/// Until both ways are closed, or one is broken, which breaks the other.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    conditions: watch::Sender<Conditions>,
    marks: &Mutex<Marks>,
) {
    let resets = conditions.borrow().resets;
    let mut seen = conditions.subscribe();
    // Small messages are to be as late as they are told to be, not later.
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let line = |way| Line { way, conditions: conditions.clone(), marks };
    let (up, down) = (line(Way::Up), line(Way::Down));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let carried = async {
        tokio::try_join!(up.pass(from_client, to_server), down.pass(from_server, to_client))
    };
    let is_broken = tokio::select! {
        carried = carried => carried.is_err(),
        _ = seen.wait_for(|now| now.resets > resets) => true,
    };
    if is_broken {
        reset(&client);
        reset(&server);
    }
}

/// When it is dropped, the other end is told that it never was.
pub(super) fn reset(stream: &TcpStream) {
    // One that is broken needs no telling.
    let _ = stream.set_zero_linger();
}

impl Line<'_> {
    async fn pass(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        let closes = self.lane().closes;
        let mut conditions = self.conditions.subscribe();
        let (sender, pieces) = mpsc::channel(PIECES);
        let mut to = to;
        tokio::select! {
            passed = async {
                tokio::try_join!(self.read(from, sender), self.write(pieces, &mut to))
            } => passed.map(drop)?,
            _ = conditions.wait_for(|now| now.on(self.way).closes > closes) => {}
        }
        // The other side may have gone, and then sees no end.
        let _ = to.shutdown().await;
        Ok(())
    }

    async fn read(&self, mut from: ReadHalf<'_>, to: mpsc::Sender<Piece>) -> io::Result<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            self.wait_until_it_flows().await;
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let due = Instant::now() + self.lane().delay;
            if to.send((due, buffer[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        mut pieces: mpsc::Receiver<Piece>,
        to: &mut WriteHalf<'_>,
    ) -> io::Result<()> {
        while let Some((due, mut piece)) = pieces.recv().await {
            sleep_until(due).await;
            self.wait_until_it_flows().await;
            let stop = lock(self.marks).stop(self.way, &piece);
            if stop.is_some() {
                self.conditions.send_modify(Conditions::stall);
            }
            if stop == Some(Side::Before) {
                self.wait_until_it_flows().await;
            }
            let passed = lock(self.marks).pass(self.way, &mut piece);
            let length = passed.err().unwrap_or(piece.len());
            to.write_all(&piece[..length]).await?;
            if passed.is_err() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if let Some(rate) = self.lane().bytes_per_second {
                sleep(Duration::from_secs_f64(length as f64 / f64::from(rate))).await;
            }
        }
        // Nor does the end pass.
        self.wait_until_it_flows().await;
        Ok(())
    }

    async fn wait_until_it_flows(&self) {
        let mut conditions = self.conditions.subscribe();
        // An error: the proxy is gone, and this is about to be.
        let _ = conditions.wait_for(|now| !now.on(self.way).stalls).await;
    }

    fn lane(&self) -> Lane {
        self.conditions.borrow().on(self.way)
    }
}

/// So small that a thin line is smooth.
const PIECE_BYTES: usize = 4 * 1024;
/// So many that a delay does not make the line thin.
const PIECES: usize = 1024;

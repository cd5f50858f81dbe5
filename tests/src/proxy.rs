//! A TCP proxy in the way of a connection: what networks do, whenever a test says so.
//!
//! What is said holds for the connections that are open and for those to come, except
//! [`Proxy::half_close`] and [`Proxy::reset`], which end those that are open. Bytes are passed on in
//! their order and as they are, except after [`Proxy::flip_after`].

mod connection;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::connection::{carry, reset};

/// Ends with this value, and so do its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    conditions: watch::Sender<Conditions>,
    marks: Arc<Mutex<Marks>>,
    accepting: JoinHandle<()>,
}

/// Which way bytes go, seen from the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    Up,
    Down,
}

/// How it is on the line now.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    target: Option<SocketAddr>,
    up: Lane,
    down: Lane,
    refuses: bool,
    /// How often open connections were reset.
    resets: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    delay: Duration,
    bytes_per_second: Option<u32>,
    stalls: bool,
    /// How often this way was closed.
    closes: u64,
}

/// What happens once, at some byte or piece from now on, to the connection that comes to it first.
#[derive(Debug, Default)]
struct Marks {
    /// Bytes left until then.
    cut: Option<(Way, u64)>,
    flip: Option<(Way, u64)>,
    catch: Option<Catch>,
    /// How many connections were asked for, taken or not.
    attempts: u64,
}

/// A piece on its way up that stops everything.
#[derive(Debug)]
struct Catch {
    is_it: fn(&[u8]) -> bool,
    side: Side,
}

/// Where the line stops: what is caught has not passed, or its answer has not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    Before,
    Behind,
}

impl Proxy {
    /// Passes connections to a port of its own on to that address.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let proxy = Self::nowhere().await?;
        proxy.lead_to(target);
        Ok(proxy)
    }

    /// For a target that has to know this address first. Until it is told, connections are reset.
    pub async fn nowhere() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        let (conditions, _) = watch::channel(Conditions::default());
        let marks = Arc::default();
        let accepting = tokio::spawn(accept(listener, conditions.clone(), Arc::clone(&marks)));
        Ok(Self { address, conditions, marks, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn lead_to(&self, target: SocketAddr) {
        self.change(|conditions| conditions.target = Some(target));
    }

    /// Every byte of that way comes so much later.
    pub fn delay(&self, way: Way, delay: Duration) {
        self.change(|conditions| conditions.lane(way).delay = delay);
    }

    pub fn limit(&self, way: Way, bytes_per_second: u32) {
        self.change(|conditions| conditions.lane(way).bytes_per_second = Some(bytes_per_second));
    }

    /// Nothing passes any more, not even the end of a connection; nothing is lost either.
    pub fn stall(&self, way: Way) {
        self.change(|conditions| conditions.lane(way).stalls = true);
    }

    /// What stalled goes on.
    pub fn flow(&self) {
        self.change(|conditions| {
            conditions.up.stalls = false;
            conditions.down.stalls = false;
        });
    }

    /// Who receives that way sees its end; the other way goes on.
    pub fn half_close(&self, way: Way) {
        self.change(|conditions| conditions.lane(way).closes += 1);
    }

    /// Both ends are told that the connection never was, and what was on its way is gone.
    pub fn reset(&self) {
        self.change(|conditions| conditions.resets += 1);
    }

    /// New connections are reset at once, or are taken again.
    pub fn refuse(&self, refuses: bool) {
        self.change(|conditions| conditions.refuses = refuses);
    }

    /// The connection that passes so many bytes from now on is reset behind them, once.
    pub fn cut_after(&self, way: Way, bytes: u64) {
        lock(&self.marks).cut = Some((way, bytes));
    }

    /// The byte behind so many from now on arrives with all its bits turned over, once.
    pub fn flip_after(&self, way: Way, bytes: u64) {
        lock(&self.marks).flip = Some((way, bytes));
    }

    /// At the first piece up that is such a one, nothing passes any more, in no connection, until
    /// [`Self::flow`]. What a client writes at once comes in one piece while it is small.
    pub fn catch(&self, side: Side, is_it: fn(&[u8]) -> bool) {
        lock(&self.marks).catch = Some(Catch { is_it, side });
    }

    /// Whether what was to happen at some byte or piece is still to come.
    pub fn is_armed(&self) -> bool {
        let marks = lock(&self.marks);
        marks.cut.is_some() || marks.flip.is_some() || marks.catch.is_some()
    }

    /// How often somebody has connected, whether it was taken or not.
    pub fn attempts(&self) -> u64 {
        lock(&self.marks).attempts
    }

    fn change(&self, change: impl FnOnce(&mut Conditions)) {
        self.conditions.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Conditions {
    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    fn stall(&mut self) {
        self.up.stalls = true;
        self.down.stalls = true;
    }

    fn on(mut self, way: Way) -> Lane {
        *self.lane(way)
    }
}

impl Marks {
    /// Where the line is to stop at this piece.
    fn stop(&mut self, way: Way, piece: &[u8]) -> Option<Side> {
        let caught = self.catch.take_if(|catch| way == Way::Up && (catch.is_it)(piece));
        caught.map(|catch| catch.side)
    }

    /// Passes a piece on, changed where it is to be. `Err`: only so many bytes of it, then the cut.
    fn pass(&mut self, way: Way, piece: &mut [u8]) -> Result<(), usize> {
        if let Some(index) = reach(&mut self.flip, way, piece.len() as u64, |left, len| left < len)
            && let Some(byte) = piece.get_mut(index)
        {
            *byte = !*byte;
        }
        match reach(&mut self.cut, way, piece.len() as u64, |left, len| left <= len) {
            Some(index) => Err(index),
            None => Ok(()),
        }
    }
}

/// Where in a piece of that length the mark is, which is then used up.
fn reach(
    mark: &mut Option<(Way, u64)>,
    way: Way,
    length: u64,
    is_within: impl FnOnce(u64, u64) -> bool,
) -> Option<usize> {
    let (_, left) = mark.as_mut().filter(|(of, _)| *of == way)?;
    if is_within(*left, length) {
        let index = usize::try_from(*left).ok();
        *mark = None;
        return index;
    }
    *left -= length;
    None
}

async fn accept(
    listener: TcpListener,
    conditions: watch::Sender<Conditions>,
    marks: Arc<Mutex<Marks>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        lock(&marks).attempts += 1;
        let now = *conditions.borrow();
        let Some(target) = now.target.filter(|_| !now.refuses) else {
            reset(&client);
            continue;
        };
        let (conditions, marks) = (conditions.clone(), Arc::clone(&marks));
        connections.spawn(async move {
            match TcpStream::connect(target).await {
                Ok(server) => carry(client, server, conditions, &marks).await,
                // The client sees what it would see without us, or nearly so.
                Err(_) => reset(&client),
            }
        });
    }
}

fn lock(marks: &Mutex<Marks>) -> std::sync::MutexGuard<'_, Marks> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}

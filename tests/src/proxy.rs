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

/// What happens once, at some byte from now on, to the connection that comes to it first.
#[derive(Debug, Default)]
struct Marks {
    /// Bytes left until then.
    cut: Option<(Way, u64)>,
    flip: Option<(Way, u64)>,
}

impl Proxy {
    /// Passes connections to a port of its own on to that address.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        let (conditions, seen) = watch::channel(Conditions::default());
        let marks = Arc::default();
        let accepting = tokio::spawn(accept(listener, target, seen, Arc::clone(&marks)));
        Ok(Self { address, conditions, marks, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
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

    /// Whether what was to happen at some byte is still to come.
    pub fn is_armed(&self) -> bool {
        let marks = lock(&self.marks);
        marks.cut.is_some() || marks.flip.is_some()
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

    fn on(mut self, way: Way) -> Lane {
        *self.lane(way)
    }
}

impl Marks {
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
    target: SocketAddr,
    conditions: watch::Receiver<Conditions>,
    marks: Arc<Mutex<Marks>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if conditions.borrow().refuses {
            reset(&client);
            continue;
        }
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

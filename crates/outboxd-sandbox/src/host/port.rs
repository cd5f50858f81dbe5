//! TCP ports that sandboxes running side by side do not take from each other.
//!
//! A server has to keep its port while it is down, so that it can come back on it, yet a free port
//! found by binding is free for everybody after closing. Two measures: ports come from below the
//! range that the kernel uses for outgoing connections, and each is held by an abstract Unix socket
//! named after it, which lives in the same network namespace and dies with its process.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use crate::{Error, Result};

#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: UnixListener,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self> {
        let begin = RandomState::new().hash_one(std::process::id());
        (0..COUNT)
            .map(|step| FIRST + ((begin % u64::from(COUNT)) as u16 + step) % COUNT)
            .find_map(Self::hold)
            .ok_or(Error::NoFreePort { from: FIRST, to: FIRST + COUNT - 1 })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    fn hold(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("outboxd-sandbox-{number}")).ok()?;
        let held = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _held: held })
    }
}

const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// One test, since what one drops another might take.
    #[test]
    fn ports_in_use_are_passed_over_and_a_dropped_one_is_free_again() {
        let mut held: Vec<_> = (0..200).map(|_| Port::reserve().unwrap()).collect();
        let numbers: HashSet<_> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());

        let port = held.pop().unwrap();
        let number = port.number();
        assert!(Port::hold(number).is_none());
        drop(port);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        assert!(Port::hold(number).is_none());
        drop(listener);
        assert_eq!(Port::hold(number).unwrap().number(), number);
    }
}

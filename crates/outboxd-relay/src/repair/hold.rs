//! The session that holds the relay's lock while a repair lasts.

use std::future::Future;
use std::pin::pin;

use outboxd_core::stop::{Code, Stop};

use crate::link_failure::LinkFailure;
use crate::open::{Connected, Opener};
use crate::source::session::{PING_EVERY, ReplicationSession};

/// Takes the lock, unless a relay has it.
pub(super) async fn lock(opener: &Opener) -> Result<ReplicationSession, Stop> {
    match opener.connect(false).await.map_err(Stop::from) {
        Ok(Connected::Locked(session)) => Ok(session),
        Ok(Connected::Waiting(_)) => Err(in_use(&opener.source.name)),
        Err(stop) if stop.code == Code::SlotInUse => Err(in_use(&opener.source.name)),
        Err(stop) => Err(stop),
    }
}

/// Does something while the session with the lock is kept from being ended as idle. When the
/// session is lost, so is the lock, and whatever is being done is given up.
pub(super) async fn keeping<T>(
    session: &mut ReplicationSession,
    work: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(PING_EVERY) => {
                session.ping().await.map_err(LinkFailure::from)?;
            }
        }
    }
}

fn in_use(name: &str) -> Stop {
    Stop::new(Code::SlotInUse, format!("a relay named \"{name}\" is at work"))
        .detail("it holds the advisory lock of this name in the database")
        .hint("stop the relay and its standbys first: a repair takes their place")
}

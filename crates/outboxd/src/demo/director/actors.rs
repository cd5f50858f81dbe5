//! The processes that must not end by themselves, but for the order service when it is done.

use outboxd_core::stop::Stop;

use crate::demo::process::Process;
use crate::demo::relay::Relay;

pub(super) struct Actors {
    /// `None`: there is none in this play.
    pub(super) relay: Option<Relay>,
    pub(super) order_service: Process,
}

impl Actors {
    /// Does something while none of them fails.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            stop = failed(&mut self.relay) => Err(stop),
            stop = self.order_service.failed() => Err(stop),
        }
    }

    /// Until the order service is done.
    pub(super) async fn all_orders_placed(&mut self) -> anyhow::Result<()> {
        let status = tokio::select! {
            status = self.order_service.status() => status?,
            stop = failed(&mut self.relay) => return Err(stop.into()),
        };
        anyhow::ensure!(status == 0, self.order_service.ended());
        Ok(())
    }
}

async fn failed(relay: &mut Option<Relay>) -> Stop {
    match relay {
        Some(relay) => relay.process.failed().await,
        None => std::future::pending().await,
    }
}

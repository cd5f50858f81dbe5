//! `outboxd run` of the demo.

use std::collections::BTreeMap;
use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use tokio::time::timeout;

use super::process::Process;

pub(super) struct Relay {
    pub(super) process: Process,
    /// The most events that it has said may repeat what was published before.
    pub(super) repeats_max: u64,
}

impl Relay {
    /// Starts it, and waits until it streams.
    pub(super) async fn start(configuration: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut process = Process::start("the relay", &["run"], configuration).await?;
        match timeout(START_LIMIT, process.log.streaming()).await {
            Ok(Some(repeats_max)) => Ok(Self { process, repeats_max }),
            Ok(None) => Err(process.ended().into()),
            Err(_) => {
                let limit = START_LIMIT.as_secs();
                let stop =
                    Stop::new(Code::Internal, format!("the relay did not stream within {limit} s"));
                Err(stop.detail(process.log.tail()).into())
            }
        }
    }
}

const START_LIMIT: Duration = Duration::from_secs(30);

//! The services, each a process of its own: this program with a hidden command, and its part of the
//! play in an environment variable, which other users cannot read.

mod broker;
mod order;
mod payment;

use std::collections::BTreeMap;
use std::env;

use anyhow::Context;
use clap::ValueEnum;
use outboxd_relay::config::{LogConfig, LogFormat, LogLevel};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::plan::Plan;
use crate::{logging, panics};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Service {
    Broker,
    Orders,
    Payments,
}

/// How the services reach each other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Style {
    /// Outbox, relay and inbox.
    Outbox,
    /// Kafka is called beside the transaction, and what comes from it is believed.
    Naive,
}

/// What a service has to know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Part {
    pub(super) names: Names,
    pub(super) style: Style,
    pub(super) seed: u64,
    pub(super) orders: u32,
    pub(super) url: String,
    pub(super) bootstrap: String,
    /// Dies when this order is paid, before Kafka knows that.
    pub(super) crash_after: Option<i64>,
}

impl Part {
    pub(super) fn variables(&self) -> anyhow::Result<BTreeMap<String, String>> {
        variables(self)
    }

    fn plan(&self) -> Plan {
        Plan::new(self.seed, self.orders)
    }
}

pub(crate) async fn serve(service: Service) -> anyhow::Result<()> {
    logging::init(&LogConfig { format: LogFormat::Json, level: LogLevel::Warn })?;
    panics::end_the_process();
    match service {
        Service::Broker => broker::serve(&of_this_process()?),
        Service::Orders => order::serve(&of_this_process()?).await,
        Service::Payments => payment::serve(&of_this_process()?).await,
    }
}

/// What a service has to know, for its environment.
pub(super) fn variables(part: &impl Serialize) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(BTreeMap::from([(VARIABLE.to_owned(), serde_json::to_string(part)?)]))
}

fn of_this_process<T: DeserializeOwned>() -> anyhow::Result<T> {
    let text = env::var(VARIABLE).context("this command is for `outboxd demo` alone")?;
    serde_json::from_str(&text).context("the part cannot be read")
}

const VARIABLE: &str = "OUTBOXD_DEMO";

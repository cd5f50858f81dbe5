//! The embedded broker as the director sees it: a process that obeys orders from its standard input
//! and ends with it, so that a demo that was killed leaves none behind.
//!
//! It is a process of its own because librdkafka's mock cluster lets child processes inherit its
//! connections: where others are started beside it, none of them ever ends.

use std::process::Stdio;

use anyhow::{Context, ensure};
use outboxd_core::stop::{Code, Stop};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::demo::names::Names;
use crate::demo::process::set_variables;
use crate::demo::service::variables;

pub(in crate::demo) struct Embedded {
    pub(super) bootstrap: String,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    // Dropping it ends the process.
    _process: Child,
}

/// What the broker is told to do.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(in crate::demo) enum Order {
    /// To close every connection, and to take none.
    Stop,
    Start,
    AcceptGifts,
}

impl Embedded {
    pub(super) async fn start(names: &Names) -> Result<Self, Stop> {
        Self::spawn(names).await.map_err(|error| failed(&error))
    }

    async fn spawn(names: &Names) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["demo-service", "broker"]).kill_on_drop(true).process_group(0);
        set_variables(&mut command, &variables(names)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn()?;
        let orders = process.stdin.take().context("it cannot be told anything")?;
        let answers = process.stdout.take().context("it cannot answer")?;
        let mut answers = BufReader::new(answers).lines();
        let bootstrap = answers.next_line().await?.context("it has ended")?;
        Ok(Self { bootstrap, orders, answers, _process: process })
    }

    /// Returns when it is done.
    pub(super) async fn tell(&mut self, order: Order) -> Result<(), Stop> {
        let told = async {
            let line = format!("{}\n", serde_json::to_string(&order)?);
            self.orders.write_all(line.as_bytes()).await?;
            let answer = self.answers.next_line().await?.context("it has ended")?;
            ensure!(answer == DONE, "it does not: {answer}");
            Ok(())
        };
        told.await.map_err(|error| failed(&error))
    }
}

fn failed(error: &anyhow::Error) -> Stop {
    let message = "the demo's embedded broker does not do what it is told";
    Stop::new(Code::Internal, message).detail(format!("{error:#}"))
}

pub(in crate::demo) const DONE: &str = "done";

//! What a repair works with, and its steps.

use std::collections::BTreeMap;

use outboxd_core::gate::Observed;
use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Recorded;
use outboxd_core::relay::{Goal, Settings};
use outboxd_core::repair::Plan;
use outboxd_core::stop::{Code, Stop};
use outboxd_core::topic::TopicError;

use super::hold::{keeping, lock};
use super::pass::{Desk, Nowhere, Pass, Tally};
use super::phantoms::{self, Found};
use super::publish::Publisher;
use super::rows::{StoredTable, hold_view, stored_tables};
use super::shelf::{Letters, Outlet};
use super::{Order, slot};
use crate::config::Config;
use crate::control::ControlSession;
use crate::daemon;
use crate::open::Opener;
use crate::run::clock::Stopwatch;
use crate::sink::kafka::KafkaSink;
use crate::sink::settings::KafkaSettings;
use crate::sink::{self, Extent, Sink, stop};
use crate::source::session::ReplicationSession;
use crate::wiring::{self, Wishes};

/// All that a repair works with. No relay of this name works beside it.
pub(super) struct Workshop<'a> {
    config: &'a Config,
    pub(super) settings: Settings,
    pub(super) opener: Opener,
    /// Holds the lock.
    pub(super) session: ReplicationSession,
    sink: KafkaSink,
}

impl<'a> Workshop<'a> {
    pub(super) async fn open(config: &'a Config) -> Result<Self, Stop> {
        // What comes from the table is marked; a transaction around all of it could last too long.
        let kafka = KafkaSettings { transactions: None, ..wiring::kafka(config)? };
        sink::reach(&kafka).await.map_err(|error| stop::refused(&error))?;
        let wishes = Wishes { no_wait: true, fail_fast: true, ..Wishes::default() };
        let opener = daemon::opener(config, wishes)?;
        let session = lock(&opener).await?;
        let in_flight_max = config.delivery.max_in_flight_events.get() as usize;
        let topic = config.delivery.progress.topic.clone();
        let sink = KafkaSink::start(kafka, topic, in_flight_max, wiring::creation(config))
            .map_err(|error| stop::refused(&error))?;
        let settings = wiring::settings(config, Wishes::default(), Goal::Run);
        Ok(Self { config, settings, opener, session, sink })
    }

    pub(super) async fn recorded(&mut self) -> Result<Recorded, Stop> {
        let read = self.sink.read_progress(Extent::Readable);
        let read =
            keeping(&mut self.session, async { read.await.map_err(|error| stop::refused(&error)) });
        read.await?.recorded().map_err(|error| stop::unreadable(&error))
    }

    pub(super) async fn phantoms(
        &mut self,
        plan: &Plan,
        recorded: &Recorded,
    ) -> Result<Option<Found>, Stop> {
        let Some(range) = plan.phantoms else { return Ok(None) };
        let topics = recorded.topics.keys().cloned().collect();
        let group = self.config.delivery.progress.topic.clone();
        let search = phantoms::find(wiring::kafka(self.config)?, group, topics, range);
        keeping(&mut self.session, search).await.map(Some)
    }

    pub(super) async fn tables(&self, order: Order) -> Result<Vec<StoredTable>, Stop> {
        let Opener { source, tables, columns, .. } = &self.opener;
        let control = self.opener.control().await?;
        let tables = stored_tables(&control, tables, columns, &source.publication).await?;
        match tables.iter().find(|table| !table.is_timed()) {
            Some(table) if order.since_ms.is_some() => Err(timeless(table)),
            _ => Ok(tables),
        }
    }

    /// A pass that publishes nothing, over the table as it is.
    pub(super) async fn count(
        &mut self,
        plan: &Plan,
        observed: &Observed,
        tables: &[StoredTable],
    ) -> Result<Tally, Stop> {
        let view = self.opener.control().await?;
        hold_view(&view, None).await?;
        let letters = self.letters(plan, observed.server.flush_lsn).await?;
        let mut pass = self.pass(plan, tables, letters)?;
        keeping(&mut self.session, pass.run(&view, &mut Nowhere)).await?;
        Ok(pass.desk.tally)
    }

    /// Topics that rows go to and that do not exist. None is created for the asking.
    pub(super) async fn missing(&mut self, rows: &Tally) -> Result<Vec<String>, Stop> {
        if wiring::creation(self.config).is_some() {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        for topic in rows.topics.keys() {
            let described = self.sink.describe_topic(topic.clone());
            let described = keeping(&mut self.session, async { Ok(described.await) }).await?;
            if described == Err(TopicError::Unknown) {
                missing.push(topic.clone());
            }
        }
        Ok(missing)
    }

    pub(super) async fn carry_out(
        &mut self,
        plan: &Plan,
        recorded: Recorded,
        tables: &[StoredTable],
    ) -> Result<(Tally, Lsn), Stop> {
        let kafka = wiring::kafka(self.config)?;
        let prepared = daemon::prepare_progress(self.config, &kafka);
        keeping(&mut self.session, prepared).await?;
        self.fence().await?;
        self.check_unwritten(&recorded).await?;
        self.mark(plan).await?;
        let (position, snapshot) =
            slot::provide(&self.opener, &mut self.session, plan.slot).await?;
        let view = self.opener.control().await?;
        // The session with the lock may not be used before the snapshot is taken up.
        hold_view(&view, snapshot.as_deref()).await?;
        let tally = self.publish(plan, recorded, tables, &view, position).await?;
        tracing::info!(event = "repair.recorded", lsn = %position, "a relay streams from here");
        Ok((tally, position))
    }

    /// Publishes the rows of a view, and when Kafka has all of them records the position.
    async fn publish(
        &mut self,
        plan: &Plan,
        recorded: Recorded,
        tables: &[StoredTable],
        view: &ControlSession,
        position: Lsn,
    ) -> Result<Tally, Stop> {
        let letters = self.letters(plan, position).await?;
        let name = &self.config.source.name;
        let shelf = letters.shelf(self.opener.control().await?, name, plan.acquisition()).await?;
        let mut pass = self.pass(plan, tables, letters)?;
        let Settings { on_partitions_changed, limits, .. } = self.settings;
        let publisher =
            Publisher::new(&mut self.sink, recorded.topics, on_partitions_changed, limits);
        let mut outlet = Outlet { publisher, shelf };
        let publishing = async {
            pass.run(view, &mut outlet).await?;
            outlet.finish().await
        };
        keeping(&mut self.session, publishing).await?;
        slot::check_unmoved(&self.opener, position).await?;
        let progress = plan.finished(position, Stopwatch::start().now().unix_ms);
        keeping(&mut self.session, outlet.publisher.record(&progress)).await?;
        Ok(pass.desk.tally)
    }

    /// In exactly-once mode a forgotten relay writes nothing more from here on, and what it held open
    /// is aborted.
    async fn fence(&mut self) -> Result<(), Stop> {
        let kafka = wiring::kafka(self.config)?;
        if kafka.transactions.is_none() {
            return Ok(());
        }
        let topic = self.config.delivery.progress.topic.clone();
        let successor = KafkaSink::start(kafka, topic, 1, None);
        let mut successor = successor.map_err(|error| stop::refused(&error))?;
        let fenced = successor.fence();
        keeping(&mut self.session, async { fenced.await.map_err(|error| stop::refused(&error)) })
            .await
    }

    /// The plan was made for what was recorded then. One that had lost the lock may have written
    /// since.
    async fn check_unwritten(&mut self, recorded: &Recorded) -> Result<(), Stop> {
        if self.recorded().await?.progress == recorded.progress {
            return Ok(());
        }
        Err(Stop::new(Code::SlotInUse, "another relay has recorded a position meanwhile")
            .detail("nothing was changed")
            .hint("stop the relay and its standbys, then run the repair again"))
    }

    /// Sees to it that no slot to come fits the recorded position.
    async fn mark(&mut self, plan: &Plan) -> Result<(), Stop> {
        let Some(mark) = &plan.mark else { return Ok(()) };
        let Settings { on_partitions_changed, limits, .. } = self.settings;
        let counts = BTreeMap::new();
        let mut publisher = Publisher::new(&mut self.sink, counts, on_partitions_changed, limits);
        keeping(&mut self.session, publisher.record(mark)).await
    }

    async fn letters(&self, plan: &Plan, position: Lsn) -> Result<Letters, Stop> {
        let control = self.opener.control().await?;
        let name = &self.config.source.name;
        let place = plan.place(position, 0);
        Ok(Letters::read(&control, name, place, self.settings.parking).await?)
    }

    fn pass<'t>(
        &self,
        plan: &Plan,
        tables: &'t [StoredTable],
        letters: Letters,
    ) -> Result<Pass<'t>, Stop> {
        Ok(Pass {
            tables,
            mapper: wiring::mapper(self.config)?,
            since_ms: plan.since.map(|since| since.at_ms),
            now_ms: Stopwatch::start().now().unix_ms,
            desk: Desk {
                place: letters.place,
                withheld: letters.withheld,
                parking: letters.parking,
                tally: Tally::default(),
            },
        })
    }
}

fn timeless(table: &StoredTable) -> Stop {
    Stop::new(Code::Config, "--since cannot be used")
        .detail(format!("no created_at column of {} is mapped", table.name))
        .hint("leave --since out: all rows are published again")
}

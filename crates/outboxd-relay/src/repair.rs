//! `slot repair`: closes a gap from the outbox table, which still has what the log no longer gives.
//!
//! What is to be done is decided by [`outboxd_core::repair`]; this is the doing. The relay's lock is
//! held on a walsender session all the while, so no relay is at work. The order is what makes an
//! interruption harmless: the slot is created first, with a snapshot of the database at the very
//! point where it begins; then the rows of the snapshot are published; the position is recorded
//! last, when Kafka has all of them. Until then the gate stops every relay.

mod pass;
mod phantoms;
mod publish;
mod render;
mod report;
mod rows;
mod shelf;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use outboxd_core::gate::{Observed, Rules};
use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Recorded;
use outboxd_core::relay::{Goal, Settings};
use outboxd_core::repair::{Plan, Repair, Request, SlotAction, plan};
use outboxd_core::stop::{Code, Stop};

use self::pass::{Nowhere, Pass, Tally};
use self::phantoms::Found;
use self::publish::Publisher;
pub use self::report::{Gap, Outcome, PhantomReport, RepairReport};
use self::rows::{StoredTable, hold_view, stored_tables};
use self::shelf::{Letters, Outlet};
use crate::catalog::capacity::Capacity;
use crate::catalog::slot;
use crate::catalog::transactions;
use crate::config::Config;
use crate::daemon;
use crate::open::{Connected, Opener};
use crate::run::clock::Stopwatch;
use crate::setup::reporting_open_transactions;
use crate::sink::kafka::KafkaSink;
use crate::sink::{self, Sink};
use crate::source::session::{ExportedSlot, ReplicationSession};
use crate::wiring::{self, Wishes};

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    /// Rows from this moment on, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Carry the plan out. Else nothing is changed.
    pub carry_out: bool,
    /// Repair although the gate passes.
    pub force: bool,
}

/// Plans a repair, and carries it out when that is ordered.
pub async fn repair(config: &Config, order: Order) -> Result<RepairReport, Stop> {
    let mut workshop = Workshop::open(config).await?;
    let recorded = workshop.recorded().await?;
    let progress = recorded.progress.as_ref();
    let (observed, _) = workshop.opener.observe(&mut workshop.session, progress).await?;
    let now_ms = Stopwatch::start().now().unix_ms;
    let request = Request { since_ms: order.since_ms, force: order.force, now_ms };
    let rules = Rules { create_slot: false, ..workshop.settings.rules.clone() };
    let mut plan = match plan(progress, &observed, &rules, request)? {
        Repair::Nothing(entry) => return Ok(RepairReport::of_entry(&config.source, &entry)),
        Repair::Needed(plan) => *plan,
    };
    let found = workshop.phantoms(&plan, &recorded).await?;
    if let Some(first_ms) = found.as_ref().and_then(Found::first_ms) {
        plan.heed_phantom(first_ms);
    }
    let tables = workshop.tables(order).await?;
    let is_timed = tables.iter().any(StoredTable::is_timed);
    if order.carry_out {
        let (rows, position) = workshop.carry_out(&plan, recorded, &tables).await?;
        let gap = Gap::new(&plan, rows, found, is_timed);
        let report = RepairReport::new(&config.source, Outcome::Repaired);
        return Ok(RepairReport { position: Some(position), gap: Some(gap), ..report });
    }
    let rows = workshop.count(&plan, &observed, &tables).await?;
    let missing_topics = workshop.missing(&rows).await?;
    let gap = Gap { missing_topics, ..Gap::new(&plan, rows, found, is_timed) };
    Ok(RepairReport { gap: Some(gap), ..RepairReport::new(&config.source, Outcome::Planned) })
}

/// All that a repair works with. No relay of this name works beside it.
struct Workshop<'a> {
    config: &'a Config,
    settings: Settings,
    opener: Opener,
    /// Holds the lock.
    session: ReplicationSession,
    sink: KafkaSink,
}

impl<'a> Workshop<'a> {
    async fn open(config: &'a Config) -> Result<Self, Stop> {
        let kafka = wiring::kafka(config)?;
        sink::reach(&kafka).await.map_err(|error| daemon::refused(&error))?;
        let wishes = Wishes { no_wait: true, fail_fast: true, ..Wishes::default() };
        let opener = daemon::opener(config, wishes)?;
        let session = lock(&opener).await?;
        let in_flight_max = config.delivery.max_in_flight_events.get() as usize;
        let topic = config.delivery.progress.topic.clone();
        let sink = KafkaSink::start(kafka, topic, in_flight_max, wiring::creation(config))
            .map_err(|error| daemon::refused(&error))?;
        let settings = wiring::settings(config, Wishes::default(), Goal::Run);
        Ok(Self { config, settings, opener, session, sink })
    }

    async fn recorded(&mut self) -> Result<Recorded, Stop> {
        let read = self.sink.read_progress();
        let read = keeping(&mut self.session, async {
            read.await.map_err(|error| daemon::refused(&error))
        });
        read.await?.recorded().map_err(|error| daemon::unreadable(&error))
    }

    async fn phantoms(&mut self, plan: &Plan, recorded: &Recorded) -> Result<Option<Found>, Stop> {
        let Some(range) = plan.phantoms else { return Ok(None) };
        let topics = recorded.topics.keys().cloned().collect();
        let group = self.config.delivery.progress.topic.clone();
        let search = phantoms::find(wiring::kafka(self.config)?, group, topics, range);
        keeping(&mut self.session, search).await.map(Some)
    }

    async fn tables(&self, order: Order) -> Result<Vec<StoredTable>, Stop> {
        let Opener { source, tables, columns, .. } = &self.opener;
        let control = self.opener.control().await?;
        let tables = stored_tables(&control, tables, columns, &source.publication).await?;
        match tables.iter().find(|table| !table.is_timed()) {
            Some(table) if order.since_ms.is_some() => Err(timeless(table)),
            _ => Ok(tables),
        }
    }

    /// A pass that publishes nothing, over the table as it is.
    async fn count(
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
        Ok(pass.tally)
    }

    /// Topics that rows go to and that do not exist. None is created for the asking.
    async fn missing(&mut self, rows: &Tally) -> Result<Vec<String>, Stop> {
        if wiring::creation(self.config).is_some() {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        for topic in rows.topics.keys() {
            let described = self.sink.describe_topic(topic.clone());
            let described = keeping(&mut self.session, async { Ok(described.await) }).await?;
            if described == Err(outboxd_core::topic::TopicError::Unknown) {
                missing.push(topic.clone());
            }
        }
        Ok(missing)
    }

    async fn carry_out(
        &mut self,
        plan: &Plan,
        recorded: Recorded,
        tables: &[StoredTable],
    ) -> Result<(Tally, Lsn), Stop> {
        let kafka = wiring::kafka(self.config)?;
        let prepared = daemon::prepare_progress(self.config, &kafka);
        keeping(&mut self.session, prepared).await?;
        self.mark(plan).await?;
        let (position, snapshot) = self.slot(plan.slot).await?;
        let view = self.opener.control().await?;
        // The session with the lock may not be used before the snapshot is taken up.
        hold_view(&view, snapshot.as_deref()).await?;
        let letters = self.letters(plan, position).await?;
        let name = &self.config.source.name;
        let shelf = letters.shelf(self.opener.control().await?, name, plan.acquisition()).await?;
        let mut pass = self.pass(plan, tables, letters)?;
        let Settings { on_partitions_changed, limits, .. } = self.settings;
        let publisher =
            Publisher::new(&mut self.sink, recorded.topics, on_partitions_changed, limits);
        let mut outlet = Outlet { publisher, shelf };
        keeping(&mut self.session, async {
            pass.run(&view, &mut outlet).await?;
            outlet.finish().await
        })
        .await?;
        check_unmoved(&self.opener, position).await?;
        let progress = plan.finished(position, Stopwatch::start().now().unix_ms);
        keeping(&mut self.session, outlet.publisher.record(&progress)).await?;
        tracing::info!(event = "repair.recorded", lsn = %position, "a relay streams from here");
        Ok((pass.tally, position))
    }

    /// Sees to it that no slot to come fits the recorded position.
    async fn mark(&mut self, plan: &Plan) -> Result<(), Stop> {
        let Some(mark) = &plan.mark else { return Ok(()) };
        let Settings { on_partitions_changed, limits, .. } = self.settings;
        let counts = std::collections::BTreeMap::new();
        let mut publisher = Publisher::new(&mut self.sink, counts, on_partitions_changed, limits);
        keeping(&mut self.session, publisher.record(mark)).await
    }

    /// Where the stream will begin, and the snapshot of that moment.
    async fn slot(&mut self, action: SlotAction) -> Result<(Lsn, Option<String>), Stop> {
        let name = &self.config.source.slot;
        match action {
            // The rows of any moment since will do: what is younger comes again.
            SlotAction::Keep(position) => return Ok((position, None)),
            SlotAction::Replace => {
                let dropped = self.session.drop_slot(name).await;
                dropped.map_err(crate::run::LinkFailure::from)?;
                tracing::info!(event = "repair.slot_dropped", slot = name, "slot dropped");
            }
            SlotAction::Create => {
                let control = self.opener.control().await?;
                Capacity::read(&control).await?.check_free_slot()?;
            }
        }
        let ExportedSlot { consistent_point, snapshot } = self.create().await?;
        tracing::info!(
            event = "repair.slot_created",
            slot = name,
            lsn = %consistent_point,
            "slot created: publishing what was committed before it"
        );
        Ok((consistent_point, Some(snapshot)))
    }

    async fn create(&mut self) -> Result<ExportedSlot, Stop> {
        let control = self.opener.control().await?;
        let source = &self.config.source;
        let failover = source.failover.unwrap_or(true);
        let creation = self.session.create_exporting_slot(&source.slot, failover);
        let created = reporting_open_transactions(&control, creation, |writers| {
            let writers = transactions::describe(writers);
            tracing::info!(
                event = "slot.waiting",
                "slot creation waits for transactions: {writers}"
            );
        });
        Ok(created.await.map_err(crate::run::LinkFailure::from)?)
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
            place: letters.place,
            withheld: letters.withheld,
            parking: letters.parking,
            tally: Tally::default(),
        })
    }
}

async fn lock(opener: &Opener) -> Result<ReplicationSession, Stop> {
    match opener.connect().await.map_err(Stop::from) {
        Ok(Connected::Locked(session)) => Ok(session),
        Ok(Connected::Waiting(_)) => Err(in_use(&opener.source.name)),
        Err(stop) if stop.code == Code::SlotInUse => Err(in_use(&opener.source.name)),
        Err(stop) => Err(stop),
    }
}

/// Does something while the session with the lock is kept from being ended as idle. When the
/// session is lost, so is the lock, and whatever is being done is given up.
async fn keeping<T>(
    session: &mut ReplicationSession,
    work: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(PING_EVERY) => {
                session.ping().await.map_err(crate::run::LinkFailure::from)?;
            }
        }
    }
}

/// A relay is kept out by the lock; anybody else may still have used the slot.
async fn check_unmoved(opener: &Opener, position: Lsn) -> Result<(), Stop> {
    let control = opener.control().await?;
    let found = slot::read(&control, &opener.source.slot).await?;
    let confirmed = found.as_ref().and_then(|slot| slot.confirmed);
    if confirmed == Some(position) {
        return Ok(());
    }
    let name = &opener.source.slot;
    let found = confirmed.map_or_else(|| "it is gone".to_owned(), |at| format!("it is at {at}"));
    Err(Stop::new(Code::SlotMoved, format!("slot \"{name}\" was changed during its repair"))
        .detail(format!("it was at {position}, now {found}"))
        .hint(format!("find out who uses it; {}", publish::AGAIN)))
}

fn in_use(name: &str) -> Stop {
    Stop::new(Code::SlotInUse, format!("a relay named \"{name}\" is at work"))
        .detail("it holds the advisory lock of this name in the database")
        .hint("stop the relay and its standbys first: a repair takes their place")
}

fn timeless(table: &StoredTable) -> Stop {
    Stop::new(Code::Config, "--since cannot be used")
        .detail(format!("no created_at column of {} is mapped", table.name))
        .hint("leave --since out: all rows are published again")
}

/// A third of the server's idle_session_timeout for us.
const PING_EVERY: Duration = Duration::from_secs(5);

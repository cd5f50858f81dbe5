//! One pass over the stored rows: each becomes a record as it would have in the stream.
//!
//! A record from the table is marked, and carries no `sequence`: its place in the log is not known
//! any more, and consumers that compare sequences must not take it for one of the stream. A row
//! that waits in the dead-letter table, or was given up there, is left to it. A row whose key waits
//! there is parked behind it, since nobody else would: the relay that would have is past it.

use std::collections::{BTreeMap, HashSet};

use outboxd_core::headers::{self, Sequence};
use outboxd_core::mapping::{MapError, Mapped, Mapper, Written};
use outboxd_core::parking::{Parcel, Parking, Policy, Reason};
use outboxd_core::pgoutput::{Insert, Tuple};
use outboxd_core::record::{HeaderBuffer, Token};
use outboxd_core::stop::{Code, RecordError, RecordErrorKind, Stop};
use outboxd_core::time::PgTimestamp;
use serde::Serialize;
use tokio_postgres::SimpleQueryRow;

use super::publish::AGAIN;
use super::rows::{StoredTable, encode};
use crate::control::{ControlError, ControlSession};

pub(super) struct Pass<'a> {
    pub(super) tables: &'a [StoredTable],
    pub(super) mapper: Mapper,
    pub(super) since_ms: Option<i64>,
    /// Rows without a time of their own are stamped so.
    pub(super) now_ms: i64,
    pub(super) desk: Desk,
}

/// Decides what becomes of a row.
pub(super) struct Desk {
    pub(super) withheld: HashSet<String>,
    pub(super) parking: Parking,
    /// Where the next row that has to wait is parked.
    pub(super) place: Sequence,
    pub(super) tally: Tally,
}

/// Where records go, and parcels.
pub(super) trait Destination {
    async fn publish(&mut self, mapped: &Mapped<'_>) -> Result<(), Unpublished>;

    async fn park(&mut self, parcel: Parcel) -> Result<(), Stop>;
}

/// Counts only.
pub(super) struct Nowhere;

/// Why a record was not taken.
#[derive(Debug)]
pub(super) enum Unpublished {
    Refused(RecordErrorKind, String),
    Stop(Stop),
}

/// What a pass has met.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Tally {
    /// Rows that are published again, or would be.
    pub rows: u64,
    /// The times of the oldest and the youngest of them, in milliseconds since the Unix epoch.
    pub earliest_ms: Option<i64>,
    pub latest_ms: Option<i64>,
    /// How many of them for each topic.
    pub topics: BTreeMap<String, u64>,
    /// Rows that are left to the dead-letter table.
    pub withheld: u64,
    /// Rows that are parked behind an earlier event of their key.
    pub behind: u64,
    /// Rows that cannot be published: dealt with as `errors.on_record_error` says.
    pub refused: u64,
}

impl Pass<'_> {
    pub(super) async fn run(
        &mut self,
        control: &ControlSession,
        to: &mut impl Destination,
    ) -> Result<(), Stop> {
        let tables = self.tables;
        let mut tuple = Vec::new();
        for table in tables {
            self.mapper.announce(&table.announcement()).map_err(|error| Stop::from(&error))?;
            let mut rows = control.text_rows(&table.select(self.since_ms)).await?;
            while let Some(row) = rows.next().await? {
                encode(cells(&row)?.into_iter(), &mut tuple);
                self.row(table, &tuple, to).await?;
            }
        }
        Ok(())
    }

    async fn row(
        &mut self,
        table: &StoredTable,
        tuple: &[u8],
        to: &mut impl Destination,
    ) -> Result<(), Stop> {
        let Self { mapper, desk, .. } = self;
        let new = Tuple::decode(tuple).map_err(|error| unreadable(table, &error))?;
        let insert = Insert { relation: table.relation, new };
        let now = PgTimestamp::from_unix_millis(self.now_ms);
        match mapper.map(Written::Row(insert), desk.place.at, desk.place.epoch, now) {
            Ok(Some(mapped)) => desk.deal(&mapped, table.is_timed(), to).await,
            Ok(None) => Ok(()),
            Err(MapError::Record(error)) => desk.refuse(error, to).await,
            Err(error) => Err(unreadable(table, &error)),
        }
    }
}

impl Desk {
    async fn deal(
        &mut self,
        mapped: &Mapped<'_>,
        is_timed: bool,
        to: &mut impl Destination,
    ) -> Result<(), Stop> {
        if self.withheld.contains(mapped.event_id) {
            self.tally.withheld += 1;
            return Ok(());
        }
        let headers = headers(mapped);
        let mapped = Mapped { headers: headers.as_headers(), ..mapped.clone() };
        let Some(reason) = self.offer(&mapped, to).await? else {
            self.tally.count(&mapped, is_timed);
            return Ok(());
        };
        self.park(Parcel::of_record(TOKEN, self.place, &mapped, reason), to).await
    }

    /// Publishes a record, or says why it is to be parked.
    async fn offer(
        &mut self,
        mapped: &Mapped<'_>,
        to: &mut impl Destination,
    ) -> Result<Option<Reason>, Stop> {
        if self.parking.blocks(self.place, mapped.topic, mapped.key) {
            self.tally.behind += 1;
            return Ok(Some(Reason::Behind));
        }
        match to.publish(mapped).await {
            Ok(()) => Ok(None),
            Err(Unpublished::Refused(RecordErrorKind::UnknownTopic, _)) => {
                Err(unknown_topic(mapped))
            }
            Err(Unpublished::Refused(kind, message)) => {
                self.tally.refused += 1;
                reason(self.parking.policy(), mapped.error(kind, message)).map(Some)
            }
            Err(Unpublished::Stop(stop)) => Err(stop),
        }
    }

    /// A row that is no event.
    async fn refuse(&mut self, error: RecordError, to: &mut impl Destination) -> Result<(), Stop> {
        if error.event_id.as_ref().is_some_and(|id| self.withheld.contains(id)) {
            self.tally.withheld += 1;
            return Ok(());
        }
        self.tally.refused += 1;
        let reason = reason(self.parking.policy(), error.clone())?;
        self.park(Parcel::of_row(TOKEN, self.place, &error, reason), to).await
    }

    async fn park(&mut self, parcel: Parcel, to: &mut impl Destination) -> Result<(), Stop> {
        let room = self.parking.check_room(parcel.topic.as_deref(), parcel.key.as_deref());
        room.map_err(|full| Stop::new(Code::TooManyParked, full.to_string()).hint(AGAIN))?;
        self.parking.park(&parcel);
        self.place.at.ordinal += 1;
        to.park(parcel).await
    }
}

impl Destination for Nowhere {
    async fn publish(&mut self, _: &Mapped<'_>) -> Result<(), Unpublished> {
        Ok(())
    }

    async fn park(&mut self, _: Parcel) -> Result<(), Stop> {
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, mapped: &Mapped<'_>, is_timed: bool) {
        self.rows += 1;
        match self.topics.get_mut(mapped.topic) {
            Some(rows) => *rows += 1,
            None => drop(self.topics.insert(mapped.topic.to_owned(), 1)),
        }
        if is_timed {
            let at = mapped.timestamp_ms;
            self.earliest_ms = Some(self.earliest_ms.map_or(at, |earliest| earliest.min(at)));
            self.latest_ms = Some(self.latest_ms.map_or(at, |latest| latest.max(at)));
        }
    }
}

impl From<Stop> for Unpublished {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

fn cells(row: &SimpleQueryRow) -> Result<Vec<Option<&str>>, ControlError> {
    (0..row.len()).map(|index| Ok(row.try_get(index)?)).collect()
}

fn headers(mapped: &Mapped<'_>) -> HeaderBuffer {
    let mut headers = HeaderBuffer::default();
    for (name, value) in mapped.headers.iter().filter(|(name, _)| *name != SEQUENCE) {
        headers.push(name, value);
    }
    headers.push(headers::REPLAY, b"true");
    headers
}

fn reason(policy: Policy, error: RecordError) -> Result<Reason, Stop> {
    match policy {
        Policy::Park => Ok(Reason::Refused(error)),
        Policy::Skip => Ok(Reason::Skipped(error)),
        Policy::Halt => {
            let event = error.event_id.as_deref().unwrap_or("unknown");
            let message = format!("event {event} cannot be published");
            Err(Stop::new(Code::Record(error.kind), message).detail(error.message).hint(AGAIN))
        }
    }
}

fn unknown_topic(mapped: &Mapped<'_>) -> Stop {
    let code = Code::Record(RecordErrorKind::UnknownTopic);
    Stop::new(code, format!("topic {:?} does not exist", mapped.topic))
        .detail(format!("event {} of the outbox table belongs there", mapped.event_id))
        .hint(format!("create it, or set `topic.create = true`; {AGAIN}"))
}

fn unreadable(table: &StoredTable, error: &dyn std::error::Error) -> Stop {
    Stop::new(Code::Internal, format!("a row of {} cannot be read", table.name))
        .detail(crate::error_chain(error))
}

const SEQUENCE: &str = "sequence";
/// What is parked here is no record in flight.
const TOKEN: Token = Token(0);

//! From an insert or a message to its place: a record for Kafka, a parcel for the dead-letter table, or nothing.

use super::Stats;
use super::batch::Batch;
use crate::headers::Sequence;
use crate::mapping::{MapError, Mapped, Mapper, Written};
use crate::parking::{Full, Parcel, Parking, Policy, Reason};
use crate::record::{Record, Token};
use crate::stop::{RecordError, RecordErrorKind};
use crate::time::{Now, Tick};
use crate::topics::{self, Admission, Boundary, Topics};
use crate::trial::{Trials, Verdict};
use crate::window::{Change, OutOfPlace, Window};

/// What placing touches.
pub(super) struct Parts<'a> {
    pub(super) mapper: &'a mut Mapper,
    pub(super) window: &'a mut Window,
    pub(super) topics: &'a mut Topics,
    pub(super) parking: &'a mut Parking,
    pub(super) trials: &'a mut Trials,
    pub(super) stats: &'a mut Stats,
    pub(super) batch: Option<&'a mut Batch>,
    pub(super) epoch: u16,
}

/// What a change has become.
pub(super) enum Placed<'a> {
    Record(Record<'a>),
    Parcel(Box<Parcel>),
    /// It has no record, or not again.
    Nothing,
}

/// Why a change was not dealt with.
pub(super) enum Unplaced {
    /// It has to wait for an answer about this topic.
    Ask(String),
    /// It has to wait, at most until then.
    Wait(Option<Tick>),
    /// It must not be sent, and the policy is to halt.
    Refused(Box<RecordError>),
    Full(Full),
    Violated(String),
}

/// Gives what was written its place in the window, if it may be handed out now. Until it may, nothing is
/// counted.
pub(super) fn place<'a>(
    parts: Parts<'a>,
    now: Now,
    written: Written<'a>,
) -> Result<Placed<'a>, Unplaced> {
    let Parts { mapper, window, topics, parking, trials, stats, batch, epoch } = parts;
    let Some(spot) = Spot::find(window, parking, trials, epoch)? else {
        return Ok(Placed::Nothing);
    };
    let begin = window.open_transaction().ok_or(OutOfPlace::Outside)?;
    let mapped = match mapper.map(written, spot.sequence.at, epoch, begin.commit_time) {
        Ok(Some(mapped)) => mapped,
        Ok(None) => {
            stats.ignored_rows += 1;
            window.pass()?;
            return Ok(Placed::Nothing);
        }
        Err(MapError::Record(error)) => {
            return spot.park_row(window, parking, &error).map(Placed::Parcel);
        }
        Err(error) => return Err(Unplaced::Violated(error.to_string())),
    };
    if parking.blocks(spot.sequence, mapped.topic, mapped.key) {
        return spot.park_record(window, parking, &mapped, Reason::Behind).map(Placed::Parcel);
    }
    let alone = match trials.judge(spot.sequence.at, window.unacked()) {
        Verdict::Send => false,
        Verdict::SendAlone => true,
        Verdict::Wait => return Err(Unplaced::Wait(None)),
        Verdict::Poison(RecordError { kind, message, .. }) => {
            return spot.refuse(window, parking, &mapped, kind, message);
        }
    };
    let boundary =
        Boundary { is_first: window.is_transaction_fresh(), in_flight: window.unacked() };
    let (topic_id, partition, lane) = match topics.admit(now, &mapped, boundary) {
        Admission::Ready { topic, partition, lane } => (topic, partition, lane),
        Admission::Ask => return Err(Unplaced::Ask(mapped.topic.to_owned())),
        Admission::Wait { until } => return Err(Unplaced::Wait(until)),
        Admission::Refused { kind, message } => {
            return spot.refuse(window, parking, &mapped, kind, message);
        }
    };
    let bytes = topics::size(&mapped);
    let token = spot.take(window, bytes, lane)?;
    if let Some(batch) = batch {
        batch.handed_out(now.tick, bytes);
    }
    if alone {
        trials.sent_alone(spot.sequence.at);
    }
    topics.handed_out(lane);
    stats.events_received += 1;
    stats.headers_dropped(&mapped);
    stats.handed_out(token, now.tick, begin.commit_time);
    Ok(Placed::Record(mapped.record(token, topic_id, partition)))
}

/// The place of a change that was too large to be read, and cannot be sent.
pub(super) fn place_unread(
    parts: Parts<'_>,
    error: &RecordError,
) -> Result<Placed<'static>, Unplaced> {
    let Parts { window, parking, trials, epoch, .. } = parts;
    match Spot::find(window, parking, trials, epoch)? {
        Some(spot) => spot.park_row(window, parking, error).map(Placed::Parcel),
        None => Ok(Placed::Nothing),
    }
}

/// Where in the window the present change belongs.
#[derive(Clone, Copy)]
struct Spot {
    change: Change,
    sequence: Sequence,
}

impl Spot {
    /// `None`: the change was dealt with before, or just now.
    fn find(
        window: &mut Window,
        parking: &Parking,
        trials: &mut Trials,
        epoch: u16,
    ) -> Result<Option<Self>, OutOfPlace> {
        let change = window.change()?;
        let (Change::New(at) | Change::Resend(_, at)) = change else {
            window.pass()?;
            return Ok(None);
        };
        let spot = Self { change, sequence: Sequence { epoch, at } };
        if !parking.has_row(at) {
            return Ok(Some(spot));
        }
        spot.settle(window, trials)?;
        Ok(None)
    }

    /// It is durable in the dead-letter table.
    fn settle(self, window: &mut Window, trials: &mut Trials) -> Result<(), OutOfPlace> {
        trials.settled(self.sequence.at);
        let Some(token) = self.token() else { return window.pass() };
        window.hand_out_again(token, PARKED)?;
        window.ack(token);
        Ok(())
    }

    /// The token that it had before.
    fn token(self) -> Option<Token> {
        match self.change {
            Change::Resend(token, _) => Some(token),
            Change::New(_) | Change::Skip => None,
        }
    }

    fn take(self, window: &mut Window, bytes: usize, lane: u32) -> Result<Token, OutOfPlace> {
        let Some(token) = self.token() else {
            return window.hand_out(u32::try_from(bytes).unwrap_or(u32::MAX), lane);
        };
        window.hand_out_again(token, lane)?;
        Ok(token)
    }

    fn park_record(
        self,
        window: &mut Window,
        parking: &mut Parking,
        mapped: &Mapped<'_>,
        reason: Reason,
    ) -> Result<Box<Parcel>, Unplaced> {
        parking.check_room(Some(mapped.topic), mapped.key)?;
        let token = self.take(window, topics::size(mapped), PARKED)?;
        let parcel = Parcel::of_record(token, self.sequence, mapped, reason);
        parking.park(&parcel);
        Ok(Box::new(parcel))
    }

    fn refuse<'r>(
        self,
        window: &mut Window,
        parking: &mut Parking,
        mapped: &Mapped<'_>,
        kind: RecordErrorKind,
        message: String,
    ) -> Result<Placed<'r>, Unplaced> {
        let reason = reason(parking.policy(), mapped.error(kind, message))?;
        self.park_record(window, parking, mapped, reason).map(Placed::Parcel)
    }

    fn park_row(
        self,
        window: &mut Window,
        parking: &mut Parking,
        error: &RecordError,
    ) -> Result<Box<Parcel>, Unplaced> {
        let reason = reason(parking.policy(), error.clone())?;
        parking.check_room(error.topic.as_deref(), error.key.as_deref())?;
        let token = self.take(window, 0, PARKED)?;
        let parcel = Parcel::of_row(token, self.sequence, error, reason);
        parking.park(&parcel);
        Ok(Box::new(parcel))
    }
}

fn reason(policy: Policy, error: RecordError) -> Result<Reason, Unplaced> {
    match policy {
        Policy::Halt => Err(Unplaced::Refused(Box::new(error))),
        Policy::Park => Ok(Reason::Refused(error)),
        Policy::Skip => Ok(Reason::Skipped(error)),
    }
}

impl From<OutOfPlace> for Unplaced {
    fn from(error: OutOfPlace) -> Self {
        Self::Violated(error.to_string())
    }
}

impl From<Full> for Unplaced {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

/// The lane of what goes to the dead-letter table: none of Kafka's.
pub(super) const PARKED: u32 = u32::MAX;

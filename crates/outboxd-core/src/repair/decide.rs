//! From what was observed to a plan, or to the reason why there is none.

use std::time::Duration;

use super::{Basis, Phantoms, Plan, Repair, Request, Since, SlotAction, Stored, before};
use crate::gate::{self, Observed, Rules, Server, Slot};
use crate::lsn::Lsn;
use crate::progress::{FORMAT, Progress};
use crate::stop::{Code, Stop};
use crate::time::PgTimestamp;

/// Decides what is to be done. Stops where a repair cannot help, or would hurt somebody else.
pub fn plan(
    recorded: Option<&Progress>,
    observed: &Observed,
    rules: &Rules,
    request: Request,
) -> Result<Repair, Stop> {
    let cause = match gate::decide(recorded, observed, rules, Lsn::ZERO) {
        Ok(entry) if !request.force => return Ok(Repair::Nothing(Box::new(entry))),
        Ok(_) => unseen_by_the_gate(),
        Err(stop) => stop,
    };
    check_curable(&cause, recorded, observed, request)?;
    if request.stored == Stored::Nothing {
        return Err(nothing_stored(&cause));
    }
    let slot = slot_action(&cause, observed.slot.as_ref(), rules)?;
    let base = base(&cause, recorded, observed, rules);
    let mark = recorded
        .filter(|recorded| is_ahead(recorded, &observed.server))
        .map(|_| Progress { end_lsn: Lsn::ZERO, ..base.clone() });
    Ok(Repair::Needed(Box::new(Plan {
        since: since(recorded, request),
        phantoms: recorded.and_then(|recorded| phantoms(&cause, recorded, &observed.server)),
        lacks_messages: request.stored == Stored::Some,
        cause,
        slot,
        mark,
        base,
    })))
}

fn check_curable(
    cause: &Stop,
    recorded: Option<&Progress>,
    observed: &Observed,
    request: Request,
) -> Result<(), Stop> {
    let server = &observed.server;
    let is_curable = match (cause.code, recorded) {
        (Code::SlotLost | Code::ProgressLost, _)
        | (Code::SlotMissing | Code::SlotMoved | Code::PositionAhead, Some(_)) => true,
        // A former primary: the present one has the slot and the relay.
        (Code::Diverged, Some(recorded)) => server.timeline >= recorded.timeline,
        (Code::OtherSystem, Some(recorded)) => {
            let silent_ms = request.now_ms.saturating_sub(recorded.written_at_ms);
            if silent_ms < ALIVE_WITHIN.as_millis().try_into().unwrap_or(i64::MAX) {
                return Err(still_alive(cause, silent_ms));
            }
            true
        }
        // A first run has no gap, and other stops are no gaps.
        _ => false,
    };
    if is_curable { Ok(()) } else { Err(cause.clone()) }
}

fn slot_action(cause: &Stop, slot: Option<&Slot>, rules: &Rules) -> Result<SlotAction, Stop> {
    let Some(slot) = slot else { return Ok(SlotAction::Create) };
    if let Some(pid) = slot.active_pid {
        return Err(Stop::new(Code::SlotInUse, format!("slot \"{}\" is being read", rules.slot))
            .detail(format!("by server process {pid}, which does not hold this relay's lock"))
            .hint(
                "find out who reads it (pg_stat_replication) and give them a slot of their own",
            ));
    }
    let ours = slot.plugin.as_deref() == Some("pgoutput")
        && slot.database.as_ref() == Some(&rules.database)
        && !slot.temporary
        && !slot.two_phase;
    if !ours {
        return Err(Stop::new(
            Code::SlotUnusable,
            format!("slot \"{}\" is not one of ours", rules.slot),
        )
        .detail("its plugin, database or kind is not what outboxd creates: it is left alone")
        .hint("choose another `source.slot`"));
    }
    Ok(match cause.code {
        Code::ProgressLost => SlotAction::Keep(slot.confirmed.unwrap_or(Lsn::ZERO)),
        _ => SlotAction::Replace,
    })
}

fn since(recorded: Option<&Progress>, request: Request) -> Option<Since> {
    if let Some(at_ms) = request.since_ms {
        return Some(Since { at_ms, basis: Basis::Asked });
    }
    let recorded = recorded?;
    let (known_ms, basis) = match recorded.last_commit {
        Some(last) => (PgTimestamp::from_micros(last.time_us).unix_millis(), Basis::LastCommit),
        None => (recorded.written_at_ms, Basis::WrittenAt),
    };
    (known_ms > 0).then(|| Since { at_ms: before(known_ms), basis })
}

fn phantoms(cause: &Stop, recorded: &Progress, server: &Server) -> Option<Phantoms> {
    let switch = server.history.iter().find(|switch| switch.timeline == recorded.timeline)?;
    let found = Phantoms {
        epoch: recorded.epoch,
        from: switch.switch_point,
        to: recorded.newest_identity(),
    };
    (cause.code == Code::Diverged).then_some(found)
}

fn base(cause: &Stop, recorded: Option<&Progress>, observed: &Observed, rules: &Rules) -> Progress {
    let server = &observed.server;
    let fingerprint = observed.publication.as_ref().map(|found| found.fingerprint.clone());
    Progress {
        format: FORMAT,
        acquisition: recorded.map_or(1, |recorded| recorded.acquisition.saturating_add(1)),
        epoch: epoch(cause, recorded, server),
        system_id: server.system_id.0.to_string(),
        timeline: server.timeline,
        database: rules.database.clone(),
        slot: rules.slot.clone(),
        creating: false,
        end_lsn: Lsn::ZERO,
        partial: None,
        last_event_lsn: Lsn::ZERO,
        parked_lsn: Lsn::ZERO,
        last_commit: recorded.and_then(|recorded| recorded.last_commit),
        publication: fingerprint.unwrap_or_default(),
        released: recorded.map_or_else(Vec::new, |recorded| recorded.released.clone()),
        unrecorded_events_max: 0,
        written_at_ms: recorded.map_or(0, |recorded| recorded.written_at_ms),
    }
}

/// Rises where positions may start over: consumers compare by it.
fn epoch(cause: &Stop, recorded: Option<&Progress>, server: &Server) -> u16 {
    let Some(recorded) = recorded else {
        // Lost with the progress. It began at 1 and rose with each timeline at most.
        return u16::try_from(server.timeline).unwrap_or(u16::MAX).max(1);
    };
    let is_same_history = recorded.timeline == server.timeline
        && !is_ahead(recorded, server)
        && !matches!(cause.code, Code::OtherSystem | Code::Diverged);
    recorded.epoch.saturating_add(u16::from(!is_same_history))
}

/// The server was restored to an earlier state: its log has yet to reach the position.
fn is_ahead(recorded: &Progress, server: &Server) -> bool {
    recorded.end_lsn > server.flush_lsn
}

fn unseen_by_the_gate() -> Stop {
    Stop::new(Code::Diverged, "a repair is wanted although the gate passes")
        .detail("the stream may have met another history than the recorded one")
}

/// A position past the gap would be recorded with nothing published, which is to skip silently.
fn nothing_stored(cause: &Stop) -> Stop {
    let detail = format!(
        "events come as logical messages, which stand nowhere but in the log; the gap: {}",
        cause.message
    );
    Stop::new(Code::NotStored, "there is nothing to repair the gap from").detail(detail).hint(
        "have the services write again what consumers lack; then give up the gap by name: choose a \
         new `source.name` and run `outboxd setup`",
    )
}

fn still_alive(cause: &Stop, silent_ms: i64) -> Stop {
    Stop::new(Code::OtherSystem, cause.message.clone())
        .detail(format!(
            "a relay of that cluster recorded its position {} s ago: it is at work",
            silent_ms.max(0) / 1000
        ))
        .hint(
            "a clone needs a `source.name` of its own; to move, stop the old relay for good first",
        )
}

/// An idle relay records its position every ten seconds.
const ALIVE_WITHIN: Duration = Duration::from_secs(60);

//! The start gate: whether it is safe to stream, given the recorded progress and the server's state.
//!
//! Nothing is repaired here. Whatever does not fit ends in a [`Stop`] with a code of its own.

#[cfg(test)]
pub(crate) mod tests;

use crate::lsn::Lsn;
use crate::progress::{FORMAT, Progress};
use crate::stop::{Code, Stop};

/// What was asked for on the command line and in the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    pub database: String,
    pub slot: String,
    pub publication: String,
    /// A missing slot may be created, on a first run only.
    pub create_slot: bool,
    /// A slot without progress may be taken over at its own position.
    pub adopt_slot: bool,
    /// Where to take it over, instead of at its own position: what was committed before is not
    /// published.
    pub adopt_from: Option<Lsn>,
    /// A changed publication was looked at and found right.
    pub accept_publication: bool,
}

/// The gate is passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Where to go on. Its acquisition is the recorded one: the claim raises it.
    pub progress: Progress,
    pub next: Next,
    /// The recorded position lay past the timeline's switch point with nothing but idle WAL behind
    /// it, and was lowered from here.
    pub lowered_from: Option<Lsn>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    Stream,
    /// First run: record that the slot is being created, create it, record its position.
    CreateSlot,
    /// The slot is there, its position is not recorded yet.
    RecordSlotPosition,
}

/// Whether this is the server that the progress was made with. To be asked before anything is
/// written anywhere: a clone of production with the same names must not disturb production.
///
/// `handed_out` is the highest commit LSN of which this process handed a record to Kafka.
pub fn check_identity(
    progress: &Progress,
    server: &Server,
    handed_out: Lsn,
) -> Result<Identified, Stop> {
    if progress.system_id != server.system_id.0.to_string() {
        return Err(other_system(progress, server));
    }
    if progress.database != server.database {
        return Err(other_database(progress, server));
    }
    if server.timeline < progress.timeline {
        return Err(Stop::new(
            Code::Diverged,
            "the server is on an older timeline than the progress",
        )
        .detail(format!(
            "recorded timeline {}, server on timeline {}: this looks like a former primary",
            progress.timeline, server.timeline
        ))
        .hint("connect to the present primary"));
    }
    if server.timeline == progress.timeline {
        return Ok(Identified { lowered_to: None });
    }
    let switch = server.history.iter().find(|it| it.timeline == progress.timeline);
    let Some(TimelineSwitch { switch_point, .. }) = switch else {
        return Err(Stop::new(
            Code::Diverged,
            "the server's history does not contain our timeline",
        )
        .detail(format!(
            "recorded timeline {}, server on timeline {}",
            progress.timeline, server.timeline
        ))
        .hint("the server was restored from another branch; connect to the right one"));
    };
    let newest = progress.newest_identity().max(handed_out);
    // A commit record that starts at the switch point is the first that the new timeline lacks.
    if newest >= *switch_point {
        return Err(past_switch(progress, *switch_point, newest));
    }
    let lowered = progress.end_lsn > *switch_point;
    Ok(Identified { lowered_to: lowered.then_some(*switch_point) })
}

/// The server is ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identified {
    /// Only idle WAL of the recorded position lies past the switch point: go back to it.
    pub lowered_to: Option<Lsn>,
}

/// Whether it is safe to stream, and from where.
pub fn decide(
    progress: Option<&Progress>,
    observed: &Observed,
    rules: &Rules,
    handed_out: Lsn,
) -> Result<Entry, Stop> {
    let publication = check_publication(observed, rules)?;
    if let Some(slot) = &observed.slot {
        check_slot(slot, rules)?;
    }
    match (progress, &observed.slot) {
        (Some(progress), _) => resume(progress, publication, observed, rules, handed_out),
        (None, Some(slot)) if rules.adopt_slot => {
            let progress = first_progress(publication, observed, rules, false);
            check_position(&progress, slot, &observed.server, rules)?;
            Ok(Entry { progress, next: Next::Stream, lowered_from: None })
        }
        (None, Some(slot)) => Err(progress_lost(slot, rules)),
        (None, None) if rules.create_slot => Ok(Entry {
            progress: first_progress(publication, observed, rules, true),
            next: Next::CreateSlot,
            lowered_from: None,
        }),
        (None, None) => Err(never_set_up(rules)),
    }
}

fn resume(
    recorded: &Progress,
    publication: &Publication,
    observed: &Observed,
    rules: &Rules,
    handed_out: Lsn,
) -> Result<Entry, Stop> {
    let server = &observed.server;
    let identified = check_identity(recorded, server, handed_out)?;
    let mut progress = on_present_timeline(recorded, server, identified);
    let next = match &observed.slot {
        Some(_) if recorded.creating => Next::RecordSlotPosition,
        Some(slot) => {
            check_position(&progress, slot, server, rules)?;
            Next::Stream
        }
        None if recorded.creating => Next::CreateSlot,
        None => return Err(slot_missing(recorded, rules)),
    };
    if publication.fingerprint != recorded.publication {
        // Without a slot nothing can have been skipped yet.
        if next != Next::CreateSlot && !rules.accept_publication {
            return Err(publication_changed(rules));
        }
        progress.publication.clone_from(&publication.fingerprint);
    }
    let lowered_from = identified.lowered_to.map(|_| recorded.end_lsn);
    Ok(Entry { progress, next, lowered_from })
}

fn on_present_timeline(recorded: &Progress, server: &Server, identified: Identified) -> Progress {
    let mut progress = recorded.clone();
    if let Some(switch_point) = identified.lowered_to {
        progress.end_lsn = switch_point;
        // A last commit past the switch carried no event, and will not be repeated.
        progress.last_commit = progress.last_commit.filter(|it| it.commit_lsn < switch_point);
    }
    if server.timeline != recorded.timeline {
        progress.timeline = server.timeline;
        progress.epoch = progress.epoch.saturating_add(1);
    }
    progress
}

/// The position has to lie between what the slot has released and what the server has written.
fn check_position(
    progress: &Progress,
    slot: &Slot,
    server: &Server,
    rules: &Rules,
) -> Result<(), Stop> {
    let confirmed = slot.confirmed.unwrap_or(Lsn::ZERO);
    if confirmed > progress.end_lsn {
        return Err(slot_moved(progress, confirmed, rules));
    }
    if progress.end_lsn > server.flush_lsn {
        return Err(position_ahead(progress, server));
    }
    Ok(())
}

fn check_publication<'a>(observed: &'a Observed, rules: &Rules) -> Result<&'a Publication, Stop> {
    let name = &rules.publication;
    let Some(publication) = &observed.publication else {
        return Err(Stop::new(Code::Publication, format!("publication \"{name}\" does not exist"))
            .detail(format!("database \"{}\" has no publication of this name", rules.database))
            .hint("run `outboxd setup`; the publication has to exist before the slot"));
    };
    if !publication.inserts {
        let message = format!("publication \"{name}\" does not publish inserts");
        return Err(Stop::new(Code::Publication, message)
            .detail("its `publish` option lacks `insert`: new events would be skipped silently")
            .hint(format!("alter publication {name} set (publish = 'insert')")));
    }
    if !publication.missing_tables.is_empty() {
        let tables = publication.missing_tables.join(", ");
        let message = format!("publication \"{name}\" does not publish {tables}");
        return Err(Stop::new(Code::Publication, message)
            .detail("rows inserted while a table is outside the publication never reach the slot")
            .hint(format!("alter publication {name} add table {tables}")));
    }
    Ok(publication)
}

fn check_slot(slot: &Slot, rules: &Rules) -> Result<(), Stop> {
    let name = &rules.slot;
    if let Some(reason) = &slot.lost {
        return Err(Stop::new(Code::SlotLost, format!("slot \"{name}\" was invalidated"))
            .detail(format!("Postgres removed WAL that the slot still needed ({reason})"))
            .hint(
                "`outboxd slot repair --dry-run` shows how the gap can be closed from the table",
            ));
    }
    let unusable = |detail: String| {
        Err(Stop::new(Code::SlotUnusable, format!("slot \"{name}\" cannot be used"))
            .detail(detail)
            .hint("choose another `source.slot`, or drop this one if nothing else uses it"))
    };
    match &slot.plugin {
        None => return unusable("it is a physical slot".to_owned()),
        Some(plugin) if plugin != "pgoutput" => {
            return unusable(format!("its plugin is {plugin}; outboxd needs pgoutput"));
        }
        Some(_) => {}
    }
    match &slot.database {
        Some(database) if *database != rules.database => {
            unusable(format!("it belongs to database {database}, not {}", rules.database))
        }
        _ if slot.temporary => unusable("it is a temporary slot of another session".to_owned()),
        _ if slot.two_phase => unusable(
            "two-phase decoding is on: prepared transactions would arrive before they commit"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn first_progress(
    publication: &Publication,
    observed: &Observed,
    rules: &Rules,
    creating: bool,
) -> Progress {
    let server = &observed.server;
    let confirmed = observed.slot.as_ref().and_then(|slot| slot.confirmed).unwrap_or(Lsn::ZERO);
    Progress {
        format: FORMAT,
        acquisition: 0,
        epoch: 1,
        system_id: server.system_id.0.to_string(),
        timeline: server.timeline,
        database: rules.database.clone(),
        slot: rules.slot.clone(),
        creating,
        end_lsn: rules.adopt_from.filter(|_| !creating).unwrap_or(confirmed),
        partial: None,
        last_event_lsn: Lsn::ZERO,
        parked_lsn: Lsn::ZERO,
        last_commit: None,
        publication: publication.fingerprint.clone(),
        released: Vec::new(),
        unrecorded_events_max: 0,
        written_at_ms: 0,
    }
}

fn other_system(progress: &Progress, server: &Server) -> Stop {
    Stop::new(Code::OtherSystem, "the progress belongs to another database cluster")
        .detail(format!(
            "recorded system identifier {}, server has {}",
            progress.system_id, server.system_id.0
        ))
        .hint(
            "a clone needs a `source.name` of its own; after a move, with the old relay stopped for \
             good, `outboxd slot repair` takes its progress over",
        )
}

fn other_database(progress: &Progress, server: &Server) -> Stop {
    Stop::new(Code::OtherSystem, "the progress belongs to another database")
        .detail(format!(
            "recorded database \"{}\", connected to \"{}\"",
            progress.database, server.database
        ))
        .hint("each database needs a `source.name` of its own")
}

fn past_switch(progress: &Progress, switch_point: Lsn, newest: Lsn) -> Stop {
    Stop::new(Code::Diverged, "events were published that the new timeline does not contain")
        .detail(format!(
            "timeline {} was left at {switch_point}; transactions that committed after it, up to \
             {newest}, are in Kafka and not in this database",
            progress.timeline
        ))
        .hint("`outboxd slot repair --dry-run` lists them: correct their effects, then repair")
}

fn position_ahead(progress: &Progress, server: &Server) -> Stop {
    Stop::new(Code::PositionAhead, "the recorded position lies ahead of the server's WAL")
        .detail(format!(
            "recorded {}, server has written {}: it was restored to an earlier state",
            progress.end_lsn, server.flush_lsn
        ))
        .hint("connect to the right server; after a restore see `outboxd slot repair --dry-run`")
}

fn slot_missing(progress: &Progress, rules: &Rules) -> Stop {
    Stop::new(Code::SlotMissing, format!("slot \"{}\" does not exist any more", rules.slot))
        .detail(format!(
            "progress was recorded up to {}; what was committed after it is not held for us any more",
            progress.end_lsn
        ))
        .hint(
            "a new slot would start now and skip events; `outboxd slot repair --dry-run` shows how \
             the gap can be closed from the table",
        )
}

fn never_set_up(rules: &Rules) -> Stop {
    Stop::new(Code::SlotMissing, format!("slot \"{}\" does not exist", rules.slot))
        .detail("there is no progress either: this looks like a first run")
        .hint("run `outboxd setup` once, or `outboxd run --create-slot`")
}

fn progress_lost(slot: &Slot, rules: &Rules) -> Stop {
    let confirmed = slot.confirmed.unwrap_or(Lsn::ZERO);
    Stop::new(Code::ProgressLost, format!("slot \"{}\" exists, but no progress", rules.slot))
        .detail(format!(
            "the slot is confirmed up to {confirmed}; whether events after it were published is unknown"
        ))
        .hint(
            "restore the progress topic, or start at the slot's position with `--adopt-slot` \
             (repeats what was published after it); `outboxd slot repair` also publishes from the \
             table",
        )
}

fn slot_moved(progress: &Progress, confirmed: Lsn, rules: &Rules) -> Stop {
    Stop::new(Code::SlotMoved, format!("slot \"{}\" was moved by somebody else", rules.slot))
        .detail(format!(
            "recorded {}, slot confirmed up to {confirmed}: events between them were skipped",
            progress.end_lsn
        ))
        .hint(
            "find out who consumed or re-created the slot; `outboxd slot repair --dry-run` shows how \
             the gap can be closed from the table",
        )
}

fn publication_changed(rules: &Rules) -> Stop {
    let name = &rules.publication;
    Stop::new(Code::Publication, format!("publication \"{name}\" was changed"))
        .detail(
            "its definition, tables, filters or column lists are not those that the recorded \
             position was reached with; rows may have been skipped meanwhile",
        )
        .hint("check for skipped rows, then start with `--accept-publication`")
}

/// `system_identifier` of a database cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SystemId(pub u64);

/// What `IDENTIFY_SYSTEM` and `TIMELINE_HISTORY` say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    pub system_id: SystemId,
    pub timeline: u32,
    /// The server's WAL flush position.
    pub flush_lsn: Lsn,
    pub database: String,
    /// Where each older timeline was left, oldest first. Asked for only when the timeline is not
    /// the recorded one.
    pub history: Vec<TimelineSwitch>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimelineSwitch {
    pub timeline: u32,
    pub switch_point: Lsn,
}

/// The row of `pg_replication_slots`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slot {
    /// `None` for a physical slot.
    pub plugin: Option<String>,
    pub database: Option<String>,
    pub temporary: bool,
    pub two_phase: bool,
    /// The server process that streams from it.
    pub active_pid: Option<i32>,
    pub confirmed: Option<Lsn>,
    /// `wal_status` is `lost`, or `invalidation_reason` (17+) / `conflicting` (16+) is set; says why.
    pub lost: Option<String>,
    pub wal_status: Option<String>,
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of WAL held back by `restart_lsn`.
    pub retained_wal_bytes: Option<i64>,
}

/// What `pg_publication` and its companions say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    pub inserts: bool,
    /// Configured tables that it does not publish, as `schema.table`.
    pub missing_tables: Vec<String>,
    /// Changes whenever the publication or its membership is altered (F39).
    pub fingerprint: String,
}

/// The state of everything the gate looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    pub server: Server,
    pub slot: Option<Slot>,
    pub publication: Option<Publication>,
}

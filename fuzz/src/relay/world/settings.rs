//! A small relay: its limits are reached by short inputs.

use std::time::Duration;

use outboxd_core::gate::{Observed, Publication, Rules, Server, Slot, SystemId};
use outboxd_core::lsn::Lsn;
use outboxd_core::parking::{Policy, Rules as ParkingRules};
use outboxd_core::relay::{Goal, Settings, TransactionLimits};
use outboxd_core::topics::OnPartitionsChanged;
use outboxd_core::window::Limits;

pub(super) fn settings(choice: u8) -> Settings {
    let policy = match choice & 3 {
        0 | 1 => Policy::Park,
        2 => Policy::Halt,
        _ => Policy::Skip,
    };
    let on_partitions_changed = match choice & 4 {
        0 => OnPartitionsChanged::Switch,
        _ => OnPartitionsChanged::Stop,
    };
    let transactions = (choice & 8 != 0)
        .then_some(TransactionLimits { bytes: 2048, time: Duration::from_secs(10) });
    Settings {
        rules: rules(),
        goal: Goal::Run,
        limits: Limits { events: 8, bytes: 4096, overhead: 16 },
        parking: ParkingRules { policy, max_parked: 12, max_parked_per_key: 4 },
        on_partitions_changed,
        transactions,
        unrecorded_events_max: 16,
        progress_interval: Duration::from_millis(100),
        wal_sender_timeout: Duration::from_secs(15),
        release_after: Duration::from_secs(15),
        drain_timeout: DRAIN,
        rotate_every: (choice & 16 != 0).then_some(Duration::from_secs(10)),
    }
}

fn rules() -> Rules {
    Rules {
        database: DATABASE.to_owned(),
        slot: "outboxd_shop".to_owned(),
        publication: "outboxd".to_owned(),
        create_slot: false,
        adopt_slot: true,
        adopt_from: None,
        accept_publication: false,
    }
}

/// A healthy server, wherever it says that its log is.
pub(super) fn observed(confirmed: Lsn, flush_lsn: Lsn) -> Observed {
    let slot = Slot {
        plugin: Some("pgoutput".to_owned()),
        database: Some(DATABASE.to_owned()),
        temporary: false,
        two_phase: false,
        active_pid: None,
        confirmed: Some(confirmed),
        lost: None,
        wal_status: Some("reserved".to_owned()),
        safe_wal_bytes: None,
        retained_wal_bytes: None,
    };
    let database = DATABASE.to_owned();
    Observed {
        server: Server {
            system_id: SystemId(7),
            timeline: 1,
            flush_lsn,
            database,
            history: Vec::new(),
        },
        slot: Some(slot),
        publication: Some(Publication {
            inserts: true,
            missing_tables: Vec::new(),
            fingerprint: "cafe".to_owned(),
        }),
    }
}

pub(super) const DRAIN: Duration = Duration::from_secs(20);
/// Where the slot starts.
pub(super) const START: Lsn = Lsn::new(0x1000);
const DATABASE: &str = "shop";

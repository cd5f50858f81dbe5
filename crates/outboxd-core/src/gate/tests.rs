//! Each stop has its own cause: everything is right, one thing is changed, and exactly its code comes.

use super::{
    Entry, Identified, Next, Observed, Publication, Rules, Server, Slot, SystemId, TimelineSwitch,
    check_identity, decide,
};
use crate::lsn::Lsn;
use crate::progress::Progress;
use crate::stop::{Code, Stop};
use crate::window::{LastCommit, Partial};

/// All that the gate looks at.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) progress: Option<Progress>,
    pub(crate) observed: Observed,
    pub(crate) rules: Rules,
    handed_out: Lsn,
}

impl Scene {
    fn decide(&self) -> Result<Entry, Stop> {
        decide(self.progress.as_ref(), &self.observed, &self.rules, self.handed_out)
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn progress(&mut self) -> &mut Progress {
        self.progress.as_mut().expect("a scene with progress")
    }

    pub(crate) fn slot(&mut self) -> &mut Slot {
        self.observed.slot.as_mut().expect("a scene with a slot")
    }

    pub(crate) fn publication(&mut self) -> &mut Publication {
        self.observed.publication.as_mut().expect("a scene with a publication")
    }
}

#[test]
fn everything_right_streams_from_the_recorded_position() {
    let scene = right();
    let entry = Entry { progress: recorded(), next: Next::Stream, lowered_from: None };
    assert_eq!(scene.decide(), Ok(entry.clone()));
    for allowed in [
        right().with(|it| it.slot().confirmed = Some(Lsn::new(1000))),
        right().with(|it| it.slot().confirmed = None),
        right().with(|it| it.observed.server.flush_lsn = Lsn::new(1000)),
        right().with(|it| it.handed_out = Lsn::new(u64::MAX)),
        right().with(|it| it.rules.create_slot = true),
        right().with(|it| it.rules.adopt_slot = true),
        right().with(|it| it.rules.accept_publication = true),
        right().with(|it| it.slot().active_pid = Some(7)),
        right().with(|it| it.observed.server.history = vec![switch(3, 1)]),
    ] {
        assert_eq!(allowed.decide(), Ok(entry.clone()));
    }
}

#[test]
fn each_cause_stops_with_its_own_code() {
    type Change = fn(&mut Scene);
    let cases: [(Code, Change); 23] = [
        (Code::Publication, |it| it.observed.publication = None),
        (Code::Publication, |it| it.publication().inserts = false),
        (Code::Publication, |it| it.publication().missing_tables = vec!["a.b".to_owned()]),
        (Code::Publication, |it| it.publication().fingerprint = "beef".to_owned()),
        (Code::SlotLost, |it| it.slot().lost = Some("wal_removed".to_owned())),
        (Code::SlotUnusable, |it| it.slot().plugin = None),
        (Code::SlotUnusable, |it| it.slot().plugin = Some("wal2json".to_owned())),
        (Code::SlotUnusable, |it| it.slot().database = Some("other".to_owned())),
        (Code::SlotUnusable, |it| it.slot().temporary = true),
        (Code::SlotUnusable, |it| it.slot().two_phase = true),
        (Code::SlotMissing, |it| it.observed.slot = None),
        (Code::SlotMissing, |it| {
            (it.observed.slot, it.rules.create_slot, it.rules.adopt_slot) = (None, true, true);
        }),
        (Code::SlotMissing, |it| (it.observed.slot, it.progress) = (None, None)),
        (Code::ProgressLost, |it| it.progress = None),
        (Code::ProgressLost, |it| (it.progress, it.rules.create_slot) = (None, true)),
        (Code::SlotMoved, |it| it.slot().confirmed = Some(Lsn::new(1001))),
        (Code::OtherSystem, |it| it.observed.server.system_id = SystemId(1)),
        (Code::OtherSystem, |it| it.observed.server.database = "other".to_owned()),
        (Code::OtherSystem, |it| {
            it.observed.server.system_id = SystemId(1);
            it.slot().confirmed = Some(Lsn::new(1001));
        }),
        (Code::Diverged, |it| it.observed.server.timeline = 2),
        (Code::Diverged, |it| it.observed.server.timeline = 4),
        (Code::Diverged, |it| {
            it.observed.server.timeline = 4;
            it.observed.server.history = vec![switch(1, 5000), switch(2, 6000)];
        }),
        (Code::PositionAhead, |it| it.observed.server.flush_lsn = Lsn::new(999)),
    ];
    for (number, (code, change)) in cases.into_iter().enumerate() {
        let stop = right().with(change).decide().expect_err(code.as_str());
        assert_eq!(stop.code, code, "case {number}: {stop}");
        assert!(stop.detail.is_some() && stop.hint.is_some(), "case {number}");
    }
}

#[test]
fn a_changed_publication_is_accepted_on_demand() {
    let scene = right().with(|it| {
        it.publication().fingerprint = "beef".to_owned();
        it.rules.accept_publication = true;
    });
    let entry = scene.decide().expect("accepted");
    assert_eq!(entry.progress, Progress { publication: "beef".to_owned(), ..recorded() });
    let missing = scene.with(|it| it.publication().inserts = false);
    assert_eq!(missing.decide().expect_err("still useless").code, Code::Publication);
}

#[test]
fn a_first_run_creates_the_slot_when_allowed() {
    let scene = right().with(|it| {
        (it.progress, it.observed.slot) = (None, None);
        it.rules.create_slot = true;
    });
    let entry = scene.decide().expect("a first run");
    assert_eq!(entry.next, Next::CreateSlot);
    let progress = Progress { creating: true, end_lsn: Lsn::ZERO, ..first() };
    assert_eq!(entry.progress, progress);
}

#[test]
fn a_slot_without_progress_is_adopted_at_its_own_position() {
    let scene = right().with(|it| (it.progress, it.rules.adopt_slot) = (None, true));
    let entry = scene.decide().expect("adopted");
    let progress = Progress { end_lsn: Lsn::new(900), ..first() };
    assert_eq!(entry, Entry { progress, next: Next::Stream, lowered_from: None });
    for useless in [
        scene.clone().with(|it| it.rules.adopt_from = Some(Lsn::new(800))),
        scene.clone().with(|it| it.slot().lost = Some("gone".to_owned())),
        scene.clone().with(|it| it.slot().two_phase = true),
        scene.clone().with(|it| it.observed.publication = None),
        scene.with(|it| it.observed.slot = None),
    ] {
        assert!(useless.decide().is_err());
    }
}

#[test]
fn an_interrupted_creation_goes_on_where_it_stopped() {
    let scene = right().with(|it| *it.progress() = creating());
    let entry = scene.decide().expect("the slot was created");
    let (progress, next) = (creating(), Next::RecordSlotPosition);
    assert_eq!(entry, Entry { progress, next, lowered_from: None });
    let scene = scene.with(|it| it.observed.slot = None);
    let entry = scene.decide().expect("the slot was not created");
    let (progress, next) = (creating(), Next::CreateSlot);
    assert_eq!(entry, Entry { progress, next, lowered_from: None });
    let other = scene.with(|it| it.observed.server.system_id = SystemId(1));
    assert_eq!(other.decide().expect_err("not ours").code, Code::OtherSystem);
}

/// Nothing was published yet, so the new timeline holds all there is.
#[test]
fn an_interrupted_creation_goes_on_on_a_new_timeline() {
    for (slot, next) in
        [(None, Next::CreateSlot), (right().observed.slot, Next::RecordSlotPosition)]
    {
        let scene = promoted(950).with(|it| {
            *it.progress() = creating();
            it.observed.slot = slot;
        });
        let entry = scene.decide().expect("nothing was published");
        assert_eq!(entry.progress, Progress { timeline: 4, epoch: 3, ..creating() });
        assert_eq!(entry.next, next);
    }
}

/// Before there is a slot nothing was skipped, so its publication is the present one.
#[test]
fn a_publication_changed_during_creation() {
    let changed = right().with(|it| {
        *it.progress() = creating();
        it.publication().fingerprint = "beef".to_owned();
    });
    assert_eq!(changed.decide().expect_err("the slot may have skipped").code, Code::Publication);
    let before = changed.with(|it| it.observed.slot = None);
    let entry = before.decide().expect("there is no slot yet");
    assert_eq!(entry.progress.publication, "beef");
}

#[test]
fn a_promoted_server_that_holds_everything_raises_the_epoch() {
    let scene = promoted(1000).with(|it| it.observed.server.history.push(switch(4, 2)));
    let entry = scene.decide().expect("nothing is missing");
    let progress = Progress { timeline: 4, epoch: 3, ..recorded() };
    assert_eq!(entry, Entry { progress, next: Next::Stream, lowered_from: None });
}

#[test]
fn an_idle_position_past_the_switch_is_lowered() {
    let scene = promoted(950);
    let entry = scene.decide().expect("only idle log is missing");
    let end_lsn = Lsn::new(950);
    let progress = Progress { timeline: 4, epoch: 3, end_lsn, ..recorded() };
    let lowered_from = Some(Lsn::new(1000));
    assert_eq!(entry, Entry { progress, next: Next::Stream, lowered_from });
    let flushed = scene.with(|it| it.observed.server.flush_lsn = Lsn::new(960));
    assert!(flushed.decide().is_ok(), "the lowered position is compared, not the recorded one");
}

/// A transaction without events: not an identity, but the new timeline does not repeat it.
#[test]
fn a_last_commit_past_the_switch_is_forgotten() {
    for (at, kept) in [(949, true), (950, false), (960, false)] {
        let last = LastCommit { commit_lsn: Lsn::new(at), xid: 7, time_us: 0 };
        let scene = promoted(950).with(|it| it.progress().last_commit = Some(last));
        let entry = scene.decide().expect("only idle log is missing");
        assert_eq!(entry.progress.last_commit, kept.then_some(last), "{at}");
    }
}

/// A slot that was created on the new timeline behind the switch never sent what lies between.
#[test]
fn a_slot_past_the_lowered_position_was_moved() {
    let scene = promoted(950).with(|it| it.slot().confirmed = Some(Lsn::new(980)));
    assert_eq!(scene.decide().expect_err("950 to 980 was skipped").code, Code::SlotMoved);
    let scene = scene.with(|it| it.slot().confirmed = Some(Lsn::new(950)));
    assert!(scene.decide().is_ok());
}

/// The commit record that starts at the switch point is the first one that is not there.
#[test]
fn whatever_left_the_old_timeline_past_the_switch_diverges() {
    type Place = fn(&mut Scene, Lsn);
    let places: [Place; 4] = [
        |it, at| it.progress().last_event_lsn = at,
        |it, at| it.progress().partial = Some(Partial { commit_lsn: at, changes: 1 }),
        |it, at| it.progress().parked_lsn = at,
        |it, at| it.handed_out = at,
    ];
    for (number, place) in places.into_iter().enumerate() {
        for (at, diverged) in [(949, false), (950, true), (951, true)] {
            let scene = promoted(950).with(|it| place(it, Lsn::new(at)));
            let outcome = scene.decide().map_err(|stop| stop.code);
            assert_eq!(outcome.err(), diverged.then_some(Code::Diverged), "{number} at {at}");
        }
    }
}

#[test]
fn identity_can_be_checked_before_anything_is_written() {
    let server = right().observed.server;
    let check = |server: &Server| check_identity(&recorded(), server, Lsn::ZERO);
    assert_eq!(check(&server), Ok(Identified { lowered_to: None }));
    let promoted = promoted(950).observed.server;
    assert_eq!(check(&promoted), Ok(Identified { lowered_to: Some(Lsn::new(950)) }));
    let clone = Server { system_id: SystemId(1), ..server };
    assert_eq!(check(&clone).expect_err("a clone").code, Code::OtherSystem);
}

#[test]
fn stops_say_what_happened_and_what_to_do() {
    let stop = right().with(|it| it.slot().confirmed = Some(Lsn::new(0x1001)));
    assert_eq!(
        text(&stop),
        "error[slot_moved]: slot \"outboxd_shop\" was moved by somebody else\n\
         detail: recorded 0/3E8, slot confirmed up to 0/1001: events between them were skipped\n\
         hint: find out who consumed or re-created the slot; `outboxd slot repair --dry-run` shows \
         how the gap can be closed from the table"
    );
    let stop = right().with(|it| (it.progress, it.observed.slot) = (None, None));
    assert_eq!(
        text(&stop),
        "error[slot_missing]: slot \"outboxd_shop\" does not exist\n\
         detail: there is no progress either: this looks like a first run\n\
         hint: run `outboxd setup` once, or `outboxd run --create-slot`"
    );
    let stop =
        right().with(|it| it.publication().missing_tables = vec!["outbox.events".to_owned()]);
    assert_eq!(
        text(&stop),
        "error[publication]: publication \"outboxd\" does not publish outbox.events\n\
         detail: rows inserted while a table is outside the publication never reach the slot\n\
         hint: alter publication outboxd add table outbox.events"
    );
    let stop = promoted(950).with(|it| it.progress().last_event_lsn = Lsn::new(960));
    assert_eq!(
        text(&stop),
        "error[diverged]: events were published that the new timeline does not contain\n\
         detail: timeline 3 was left at 0/3B6; transactions that committed after it, up to 0/3C0, \
         are in Kafka and not in this database\n\
         hint: `outboxd slot repair --dry-run` lists them: correct their effects, then repair"
    );
    let stop = right().with(|it| it.observed.server.database = "crm".to_owned());
    assert_eq!(
        text(&stop),
        "error[other_system]: the progress belongs to another database\n\
         detail: recorded database \"shop\", connected to \"crm\"\n\
         hint: each database needs a `source.name` of its own"
    );
}

/// As the binary prints a stop.
fn text(scene: &Scene) -> String {
    let stop = scene.decide().expect_err("a stop");
    let (detail, hint) = (stop.detail.unwrap_or_default(), stop.hint.unwrap_or_default());
    format!("error[{}]: {}\ndetail: {detail}\nhint: {hint}", stop.code, stop.message)
}

/// A relay that goes on: recorded 1000, the slot confirmed 900, the server at 2000.
pub(crate) fn right() -> Scene {
    Scene {
        progress: Some(recorded()),
        observed: Observed {
            server: Server {
                system_id: SystemId(7_300_000_000_000_000_001),
                timeline: 3,
                flush_lsn: Lsn::new(2000),
                database: "shop".to_owned(),
                history: Vec::new(),
            },
            slot: Some(Slot {
                plugin: Some("pgoutput".to_owned()),
                database: Some("shop".to_owned()),
                temporary: false,
                two_phase: false,
                active_pid: None,
                confirmed: Some(Lsn::new(900)),
                lost: None,
                wal_status: Some("reserved".to_owned()),
                safe_wal_bytes: None,
                retained_wal_bytes: Some(100),
            }),
            publication: Some(Publication {
                inserts: true,
                missing_tables: Vec::new(),
                fingerprint: "f00d".to_owned(),
            }),
        },
        rules: Rules {
            database: "shop".to_owned(),
            slot: "outboxd_shop".to_owned(),
            publication: "outboxd".to_owned(),
            create_slot: false,
            adopt_slot: false,
            adopt_from: None,
            accept_publication: false,
        },
        handed_out: Lsn::ZERO,
    }
}

/// The same on a standby that was promoted at this position.
fn promoted(switch_point: u64) -> Scene {
    right().with(|it| {
        it.observed.server.timeline = 4;
        it.observed.server.history = vec![switch(2, 1), switch(3, switch_point)];
    })
}

fn switch(timeline: u32, at: u64) -> TimelineSwitch {
    TimelineSwitch { timeline, switch_point: Lsn::new(at) }
}

fn recorded() -> Progress {
    crate::progress::tests::progress(5, 1000)
}

fn creating() -> Progress {
    Progress { creating: true, end_lsn: Lsn::ZERO, ..recorded() }
}

/// What a first run would record on this server.
fn first() -> Progress {
    Progress { acquisition: 0, epoch: 1, ..recorded() }
}

//! Slots: what the catalog says of them, what their creation waits for, how a relay is doing.

use std::time::Duration;

use outboxd_relay::catalog::transactions::{self, Holder};
use outboxd_relay::catalog::{server, slot};
use outboxd_relay::control::ControlSession;
use outboxd_relay::setup::reporting_open_transactions;
use outboxd_relay::status::{Question, Recorded, StatusReport};
use outboxd_sandbox::PgVersion;
use tokio::sync::mpsc;

use crate::{DATABASE, SLOT, VERSIONS, create_slot, server, server_with, session};

async fn status(session: &ControlSession, recorded: Option<Recorded>) -> StatusReport {
    let question = Question {
        name: SLOT.to_owned(),
        slot: SLOT.to_owned(),
        database: DATABASE.to_owned(),
        recorded,
    };
    StatusReport::read(session, &question).await.unwrap()
}

#[tokio::test]
async fn a_slot_as_the_gate_wants_it() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        assert_eq!(slot::read(&session, SLOT).await.unwrap(), None);
        create_slot(&session, SLOT).await;
        let slot = slot::read(&session, SLOT).await.unwrap().unwrap();
        assert_eq!(slot.plugin.as_deref(), Some("pgoutput"));
        assert_eq!(slot.database.as_deref(), Some(DATABASE));
        assert_eq!((slot.temporary, slot.two_phase, slot.active_pid), (false, false, None));
        assert_eq!((slot.lost, slot.wal_status.as_deref()), (None, Some("reserved")));
        assert!(slot.confirmed.unwrap() <= server::wal_end(&session).await.unwrap());
        assert!(slot.retained_wal_bytes.unwrap() >= 0);
    }
}

#[tokio::test]
async fn a_slot_that_lost_its_wal() {
    let settings =
        [("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
    for version in VERSIONS {
        let postgres = server_with(version, &settings).await;
        let session = session(&postgres).await;
        create_slot(&session, SLOT).await;
        assert!(slot::read(&session, SLOT).await.unwrap().unwrap().safe_wal_bytes.is_some());
        for _ in 0..4 {
            session.execute("select pg_logical_emit_message(false, 'fill', 'up')").await.unwrap();
            session.execute("select pg_switch_wal()").await.unwrap();
        }
        session.execute("checkpoint").await.unwrap();
        let slot = slot::read(&session, SLOT).await.unwrap().unwrap();
        assert!(slot.lost.is_some(), "{version}: {slot:?}");
        let problems = status(&session, None).await.problems(None);
        assert!(problems[0].starts_with("slot outboxd_postgres is lost: "), "{problems:?}");
    }
}

#[tokio::test]
async fn the_creation_of_a_slot_says_whom_it_waits_for() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let (control, writer, creator) =
            (session(&postgres).await, session(&postgres).await, session(&postgres).await);
        writer.execute("create table public.t (id int)").await.unwrap();
        writer.execute("begin; insert into public.t values (1)").await.unwrap();
        let pid: i32 = writer.row("select pg_backend_pid()", &[]).await.unwrap().get(0);

        let (reported, mut reports) = mpsc::channel(1);
        let creation = create_slot(&creator, SLOT);
        let creation = reporting_open_transactions(&control, creation, |open| {
            // Of later reports only the first is needed.
            let _ = reported.try_send(open.to_vec());
        });
        let commit = async {
            let open = reports.recv().await.unwrap();
            assert_eq!(open[0].holder, Holder::Session { pid }, "{version}");
            assert_eq!(open[0].user.as_deref(), Some("postgres"));
            writer.execute("commit").await.unwrap();
        };
        tokio::join!(creation, commit);
        assert!(slot::read(&control, SLOT).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn prepared_transactions_are_open_too() {
    let postgres = server(PgVersion::V17).await;
    let session = session(&postgres).await;
    assert_eq!(transactions::oldest_age(&session).await.unwrap(), Duration::ZERO);
    session.execute("begin; create table public.t (id int)").await.unwrap();
    session.execute("prepare transaction 'half done'").await.unwrap();
    let open = transactions::open_writers(&session).await.unwrap();
    assert_eq!(open[0].holder, Holder::Prepared { gid: "half done".to_owned() });
    assert!(open[0].age.is_some());
}

#[tokio::test]
async fn a_relay_is_active_while_it_holds_its_lock() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let (session, relay) = (session(&postgres).await, session(&postgres).await);
        create_slot(&session, SLOT).await;
        let report = status(&session, None).await;
        assert_eq!((report.active, report.exit_code(None)), (false, 3));
        assert!(report.confirmed.is_some() && report.lag_bytes.is_some());

        let key = format!("hashtextextended('outboxd:{SLOT}', 0)");
        relay.execute(&format!("select pg_advisory_lock({key})")).await.unwrap();
        let position = server::wal_end(&session).await.unwrap();
        let recorded = Recorded { position, last_commit: None, written_at_ms: 0 };
        let report = status(&session, Some(recorded)).await;
        assert_eq!((report.active, report.streaming, report.exit_code(None)), (true, false, 0));
        assert_eq!(report.recorded, Some(position));
    }
}

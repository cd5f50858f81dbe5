//! Running `setup` again, or several times at once.

use outboxd_relay::catalog::publication::Coverage;
use outboxd_relay::control::ControlSession;
use outboxd_relay::setup::{self, Observed, Wish};

use crate::{VERSIONS, events, server, session, set_up, wish};

#[tokio::test]
async fn a_second_run_has_nothing_to_do() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        let wish = wish(vec![events()]);
        let first = set_up(&session, &wish).await;
        assert_eq!(first.statements.len(), 6, "{first}");
        session
            .execute("insert into outbox.events (aggregatetype, type) values ('a', 't')")
            .await
            .unwrap();

        let second = set_up(&session, &wish).await;
        assert!(second.is_empty(), "{version}: {second}");
        let slot = second.existing_slot.unwrap();
        assert_eq!(slot.plugin.as_deref(), Some("pgoutput"));
        let observed = Observed::read(&session, &wish).await.unwrap();
        assert_eq!(observed.publication.unwrap().tables, [(events(), Coverage::Published)]);
    }
}

#[tokio::test]
async fn roles_are_made_once_and_by_no_superuser_too() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let admin = session(&postgres).await;
        admin
            .execute(
                "create role boss login createrole replication;
                 grant create on database postgres to boss with grant option;
                 grant pg_monitor to boss with admin option",
            )
            .await
            .unwrap();
        let params = crate::params(&postgres);
        let params =
            outboxd_relay::source::params::ConnectParams { user: "boss".to_owned(), ..params };
        let boss = ControlSession::connect(&params).await.unwrap();
        let wish = Wish { roles: true, streaming_role: "boss".to_owned(), ..wish(vec![events()]) };
        set_up(&boss, &wish).await;
        let second = set_up(&boss, &wish).await;
        assert!(second.is_empty(), "{version}: {second}");
        let owner = "select tableowner::text from pg_tables where tablename = 'events'";
        let owner: String = admin.row(owner, &[]).await.unwrap().get(0);
        assert_eq!(owner, "outbox_owner");
    }
}

#[tokio::test]
async fn of_several_at_once_one_does_the_work() {
    let postgres = server(outboxd_sandbox::PgVersion::V17).await;
    let one = async || {
        let session = session(&postgres).await;
        set_up(&session, &wish(vec![events()])).await
    };
    let (a, b, c) = tokio::join!(one(), one(), one());
    let busy = [a, b, c].iter().filter(|plan| !plan.is_empty()).count();
    assert_eq!(busy, 1);
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_behind() {
    let postgres = server(outboxd_sandbox::PgVersion::V17).await;
    let session = session(&postgres).await;
    let wish = wish(vec![events()]);
    let observed = Observed::read(&session, &wish).await.unwrap();
    let mut plan = setup::plan(&wish, &observed).unwrap();
    plan.statements[2].sql = "select 1 / 0".to_owned();
    setup::apply_statements(&session, &plan).await.unwrap_err();
    // The session is out of the failed transaction, and the schema is not there.
    assert_eq!(Observed::read(&session, &wish).await.unwrap(), observed);
}

#[tokio::test]
async fn what_is_printed_is_what_runs() {
    let postgres = server(outboxd_sandbox::PgVersion::V18).await;
    let session = session(&postgres).await;
    let wish = wish(vec![events()]);
    let observed = Observed::read(&session, &wish).await.unwrap();
    let printed = setup::plan(&wish, &observed).unwrap().to_string();
    let (statements, slot) = printed.split_once("-- slot ").unwrap();
    session.execute(statements).await.unwrap();
    session.execute(&format!("-- slot {slot}")).await.unwrap();
    assert!(set_up(&session, &wish).await.is_empty());
}

//! What a publication covers, and whether a change of it is seen.

use outboxd_core::relation::TableName;
use outboxd_core::stop::Code;
use outboxd_relay::catalog::publication::{self, Coverage, Publication};
use outboxd_relay::control::ControlSession;
use outboxd_relay::setup::{self, Observed};
use outboxd_sandbox::PgVersion;

use crate::{VERSIONS, events, server, session, set_up, wish};

async fn read(session: &ControlSession, name: &str, tables: &[TableName]) -> Option<Publication> {
    publication::read(session, name, tables).await.unwrap()
}

async fn coverage(session: &ControlSession, name: &str, table: &TableName) -> Coverage {
    read(session, name, std::slice::from_ref(table)).await.unwrap().tables[0].1
}

async fn fingerprint(session: &ControlSession) -> String {
    read(session, "outboxd", &[events()]).await.unwrap().fingerprint
}

/// The membership is the same as at first; what was inserted in between is lost.
const BACK_AGAIN: &str = "alter publication outboxd add table outbox.events";

#[tokio::test]
async fn every_change_of_a_publication_is_seen() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        set_up(&session, &wish(vec![events()])).await;
        session.execute("create table public.other (id int)").await.unwrap();
        let first = fingerprint(&session).await;
        let mut last = first.clone();
        let mut changes = vec![
            "alter publication outboxd add table public.other",
            "alter publication outboxd drop table public.other",
            "alter publication outboxd drop table outbox.events",
            BACK_AGAIN,
            "alter publication outboxd set (publish = 'insert, update')",
            "alter publication outboxd set (publish_via_partition_root = true)",
        ];
        if version >= PgVersion::V15 {
            changes.extend([
                "alter publication outboxd set table outbox.events where (type = 't')",
                "alter publication outboxd set table outbox.events (id, type, payload)",
                // A schema cannot be published beside a column list.
                "alter publication outboxd set table outbox.events",
                "alter publication outboxd add tables in schema public",
            ]);
        }
        changes.push("drop publication outboxd; create publication outboxd for table outbox.events with (publish = 'insert')");
        for change in changes {
            session.execute(change).await.unwrap();
            let now = fingerprint(&session).await;
            assert_ne!(now, last, "{version}: not seen: {change}");
            last = now;
            if change == BACK_AGAIN {
                assert_ne!(last, first, "{version}: the gap is not seen");
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_concern_it_leaves_the_fingerprint() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        set_up(&session, &wish(vec![events()])).await;
        let before = fingerprint(&session).await;
        for harmless in [
            "insert into outbox.events (aggregatetype, type) values ('a', 't')",
            "vacuum freeze",
            "alter table outbox.events add column note text",
            "create publication another for table outbox.events",
        ] {
            session.execute(harmless).await.unwrap();
            assert_eq!(fingerprint(&session).await, before, "{version}: {harmless}");
        }
    }
}

#[tokio::test]
async fn tables_are_covered_in_many_ways() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        session
            .execute(
                "create schema app;
                 create table app.plain (id int);
                 create table app.parted (id int) partition by range (id);
                 create table app.empty (id int) partition by range (id);
                 create table app.leaf partition of app.parted for values from (0) to (9);
                 create unlogged table app.volatile (id int);
                 create publication partial for table app.plain, app.parted, app.empty;
                 create publication rooted for table app.parted, app.empty with (publish_via_partition_root);
                 create publication everything for all tables;
                 create publication everything_rooted for all tables with (publish_via_partition_root)",
            )
            .await
            .unwrap();
        let mut expected = vec![
            ("partial", "plain", Coverage::Published),
            ("partial", "parted", Coverage::AsPartitions),
            ("partial", "empty", Coverage::AsPartitions),
            ("partial", "leaf", Coverage::Published),
            ("partial", "volatile", Coverage::Missing),
            ("partial", "absent", Coverage::Missing),
            ("rooted", "plain", Coverage::Missing),
            ("rooted", "parted", Coverage::Published),
            ("rooted", "empty", Coverage::Published),
            ("rooted", "leaf", Coverage::AsRoot),
            ("everything", "plain", Coverage::Published),
            ("everything", "parted", Coverage::AsPartitions),
            ("everything", "volatile", Coverage::Missing),
            ("everything_rooted", "parted", Coverage::Published),
            ("everything_rooted", "leaf", Coverage::AsRoot),
        ];
        if version >= PgVersion::V15 {
            session.execute("create publication schema for tables in schema app").await.unwrap();
            expected.extend([
                ("schema", "plain", Coverage::Published),
                ("schema", "parted", Coverage::AsPartitions),
                ("schema", "leaf", Coverage::Published),
            ]);
        }
        for (publication, table, wanted) in expected {
            let found = coverage(&session, publication, &TableName::new("app", table)).await;
            assert_eq!(found, wanted, "{version}: {table} in {publication}");
        }
        assert_eq!(read(&session, "absent", &[]).await, None);
    }
}

#[tokio::test]
async fn setup_completes_a_publication() {
    for version in VERSIONS {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        let columns = "id uuid, aggregatetype text, aggregateid text, type text, payload jsonb";
        session
            .execute(&format!(
                "create table public.a ({columns});
                 create table public.b ({columns}) partition by hash (id);
                 create publication outboxd for table public.b with (publish = 'insert')"
            ))
            .await
            .unwrap();
        let tables = vec![TableName::new("public", "a"), TableName::new("public", "b")];
        let wish = wish(tables.clone());
        // The schema and the table of the dead letters, and the publication.
        assert_eq!(set_up(&session, &wish).await.statements.len(), 3);
        let publication = read(&session, "outboxd", &tables).await.unwrap();
        assert_eq!(publication.uncovered().count(), 0, "{publication:?}");
        assert!(set_up(&session, &wish).await.is_empty());
    }
}

#[tokio::test]
async fn a_publication_that_setup_does_not_touch() {
    let postgres = server(PgVersion::V17).await;
    let session = session(&postgres).await;
    let wish = wish(vec![events()]);
    set_up(&session, &wish).await;
    for (sabotage, hint) in [
        (
            "alter publication outboxd set (publish = 'update')",
            "alter publication \"outboxd\" set (publish = 'insert')",
        ),
        ("drop publication outboxd", "pg_drop_replication_slot"),
    ] {
        session.execute(sabotage).await.unwrap();
        let observed = Observed::read(&session, &wish).await.unwrap();
        let stop = setup::plan(&wish, &observed).unwrap_err();
        assert_eq!(stop.code, Code::Publication);
        assert!(stop.hint.unwrap().contains(hint));
    }
}

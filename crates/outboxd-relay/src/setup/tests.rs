use std::collections::BTreeMap;
use std::time::Duration;

use outboxd_core::gate::Slot;
use outboxd_core::relation::{ColumnNames, TableName};
use outboxd_core::stop::{Code, Stop};

use super::*;
use crate::catalog::capacity::{Capacity, SlotUse};
use crate::catalog::privilege::Role;
use crate::catalog::publication::{Coverage, Publication};
use crate::catalog::server::Settings;
use crate::catalog::table::{Column, ConfiguredTable, Kind, Table};
use crate::control::ServerVersion;
use crate::migrate::{self, Entry, Events, ROLES, SchemaState, Variant};

fn events() -> TableName {
    TableName::new("outbox", "events")
}

fn wish() -> Wish {
    Wish {
        database: "shop".to_owned(),
        tables: vec![events()],
        columns: ColumnNames::default(),
        publication: "outboxd".to_owned(),
        slot: "outboxd_shop".to_owned(),
        failover: true,
        streaming_role: "relay".to_owned(),
        progress_topic: Some("outboxd.progress.outboxd_shop".to_owned()),
        roles: false,
    }
}

/// A server of version 17 on which nothing was done yet.
fn fresh() -> Observed {
    Observed {
        version: ServerVersion::from_number(170_000),
        settings: Settings {
            wal_level: "logical".to_owned(),
            deadlock_timeout: Duration::from_secs(1),
            in_recovery: false,
        },
        capacity: Capacity { slots_max: 10, slots: vec![], walsenders_max: 10, walsenders: 0 },
        streaming_role: Some(role(true)),
        tables: vec![ConfiguredTable { name: events(), found: None }],
        publication: None,
        slot: None,
        migrations: migrations(&wish(), None),
    }
}

/// The schema with everything that a wish makes, or none of it.
fn migrations(wish: &Wish, made: Option<Variant>) -> migrate::Observed {
    let nothing = migrate::Observed {
        own_role: "admin".to_owned(),
        superuser: true,
        may_create_roles: true,
        may_create_schemas: true,
        ..migrate::Observed::default()
    };
    let Some(variant) = made else { return nothing };
    let wish = migrate::Wish { variant: Some(variant), ..wish.everything_of_ours() };
    let plan = migrate::plan(&wish, &nothing).unwrap();
    let entry = |step: &migrate::Step| {
        let checksum = step.migration.checksum();
        (step.migration.name.to_owned(), Entry { checksum, applied_at: String::new() })
    };
    let state = SchemaState {
        owner: Some("admin".to_owned()),
        is_own: true,
        book: Some(plan.steps().map(entry).collect()),
        events: Events::Other,
        dead_letters: true,
        messages: false,
    };
    migrate::Observed { schemas: BTreeMap::from([("outbox".parse().unwrap(), state)]), ..nothing }
}

fn role(replication: bool) -> Role {
    Role { name: "relay".to_owned(), superuser: false, replication }
}

fn table(name: TableName, kind: Kind) -> ConfiguredTable {
    let columns = ["id", "aggregatetype", "aggregateid", "type", "payload"];
    let column = |name: &str| Column { name: name.to_owned(), type_oid: 25 };
    let columns = columns.into_iter().map(column).collect();
    ConfiguredTable { name, found: Some(Table { kind, columns }) }
}

fn publication(tables: Vec<(TableName, Coverage)>) -> Publication {
    Publication { inserts: true, tables, fingerprint: "f".to_owned() }
}

fn slot() -> Slot {
    Slot {
        plugin: Some("pgoutput".to_owned()),
        database: Some("shop".to_owned()),
        temporary: false,
        two_phase: false,
        active_pid: None,
        confirmed: None,
        lost: None,
        wal_status: None,
        safe_wal_bytes: None,
        retained_wal_bytes: None,
    }
}

/// What is there after a first run.
fn complete() -> Observed {
    Observed {
        tables: vec![table(events(), Kind::Ordinary)],
        publication: Some(publication(vec![(events(), Coverage::Published)])),
        slot: Some(slot()),
        migrations: migrations(&wish(), Some(Variant::Plain)),
        ..fresh()
    }
}

fn stop(wish: &Wish, observed: &Observed) -> Stop {
    plan(wish, observed).unwrap_err()
}

fn sql(wish: &Wish, observed: &Observed) -> Vec<String> {
    plan(wish, observed).unwrap().statements.into_iter().map(|statement| statement.sql).collect()
}

#[test]
fn a_first_run_makes_everything_in_order() {
    insta::assert_snapshot!(plan(&wish(), &fresh()).unwrap());
}

#[test]
fn a_second_run_finds_everything() {
    let wish = Wish { progress_topic: None, ..wish() };
    let plan = plan(&wish, &complete()).unwrap();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.to_string(), "-- nothing to do\n");
    assert_eq!(plan.existing_slot, Some(slot()));
}

#[test]
fn slots_follow_a_failover_only_where_the_server_can() {
    let failover = |number, failover| {
        let observed = Observed { version: ServerVersion::from_number(number), ..fresh() };
        plan(&Wish { failover, ..wish() }, &observed).unwrap().slot.unwrap().failover
    };
    assert!(failover(170_000, true));
    assert!(!failover(170_000, false));
    assert!(!failover(160_009, true));
}

#[test]
fn a_table_of_the_users_own_is_only_added_to_the_publication() {
    let own = TableName::new("public", "outbox");
    let wish = Wish { tables: vec![own.clone()], ..wish() };
    let tables = vec![table(own, Kind::Ordinary)];
    let observed = Observed { tables, migrations: complete().migrations, ..fresh() };
    let expected =
        r#"create publication "outboxd" for table "public"."outbox" with (publish = 'insert');"#;
    assert_eq!(sql(&wish, &observed), [expected]);
}

#[test]
fn a_table_that_setup_does_not_know_is_not_invented() {
    let own = TableName::new("public", "outbox");
    let wish = Wish { tables: vec![own.clone()], ..wish() };
    let observed = Observed { tables: vec![ConfiguredTable { name: own, found: None }], ..fresh() };
    let stop = stop(&wish, &observed);
    assert_eq!(
        (stop.code, stop.message.as_str()),
        (Code::TableMissing, "table public.outbox does not exist")
    );
    assert_eq!(stop.hint.unwrap(), "create it first; setup creates outbox.events only");
}

#[test]
fn an_existing_table_has_to_serve_as_an_outbox() {
    let mut observed = complete();
    observed.tables[0].found.as_mut().unwrap().columns.pop();
    assert_eq!(stop(&wish(), &observed).code, Code::TableContract);
}

#[test]
fn a_table_of_another_variant_is_taken_as_it_is() {
    let tables = vec![table(events(), Kind::Partitioned)];
    let migrations = migrations(&wish(), Some(Variant::Rotating));
    let observed = Observed { tables, migrations, ..complete() };
    let wish = Wish { progress_topic: None, ..wish() };
    assert!(plan(&wish, &observed).unwrap().is_empty());
}

#[test]
fn a_table_that_somebody_else_made_stays_as_it_is() {
    let mut observed = complete();
    let state = observed.migrations.schemas.values_mut().next().unwrap();
    *state = SchemaState {
        events: Events::Other,
        owner: Some("admin".to_owned()),
        is_own: true,
        ..SchemaState::default()
    };
    let statements = sql(&wish(), &observed);
    assert!(statements.iter().all(|sql| !sql.contains("outbox.events")), "{statements:?}");
    assert!(statements.iter().any(|sql| sql.contains("create table outbox.dead_letters")));
}

#[test]
fn a_table_from_before_there_was_a_book_gets_its_line_and_what_it_lacks() {
    let mut observed = complete();
    let state = observed.migrations.schemas.values_mut().next().unwrap();
    *state = SchemaState { events: Events::AsByHand, book: None, ..state.clone() };
    let statements = sql(&wish(), &observed).join("\n");
    assert!(!statements.contains("create table outbox.events"), "{statements}");
    assert!(!statements.contains("create table outbox.dead_letters"), "{statements}");
    assert!(statements.contains("values ('outbox/plain/0001_events'"), "{statements}");
    assert!(statements.contains("add constraint events_payload_size"), "{statements}");
}

#[test]
fn a_partitioned_table_is_published_under_its_own_name() {
    let observed = Observed { tables: vec![table(events(), Kind::Partitioned)], ..fresh() };
    let statements = sql(&wish(), &observed);
    assert!(
        statements
            .last()
            .unwrap()
            .ends_with("(publish = 'insert', publish_via_partition_root = true);"),
        "{statements:?}"
    );
}

#[test]
fn a_publication_gets_what_it_lacks_and_keeps_what_it_has() {
    let more = TableName::new("app", "more");
    let wish = Wish { tables: vec![events(), more.clone()], ..wish() };
    let observed = Observed {
        tables: vec![table(events(), Kind::Partitioned), table(more.clone(), Kind::Ordinary)],
        publication: Some(publication(vec![
            (events(), Coverage::AsPartitions),
            (more, Coverage::Missing),
        ])),
        ..complete()
    };
    let plan = plan(&wish, &observed).unwrap();
    let expected = r#"alter publication "outboxd" add table "app"."more";
alter publication "outboxd" set (publish_via_partition_root = true);"#;
    assert_eq!(plan.statements[0].sql, expected);
    assert!(plan.notes.iter().any(|note| note.contains("--accept-publication")));
}

#[test]
fn a_publication_without_inserts_is_not_changed() {
    let mut observed = complete();
    observed.publication.as_mut().unwrap().inserts = false;
    let stop = stop(&wish(), &observed);
    assert_eq!(stop.code, Code::Publication);
    assert_eq!(stop.hint.unwrap(), r#"alter publication "outboxd" set (publish = 'insert')"#);
}

#[test]
fn a_partition_cannot_be_an_outbox_when_its_parent_is_published() {
    let tables = vec![(events(), Coverage::AsRoot)];
    let observed = Observed { publication: Some(publication(tables)), ..complete() };
    assert_eq!(stop(&wish(), &observed).code, Code::Publication);
}

#[test]
fn a_publication_is_not_created_behind_its_slot() {
    let observed = Observed { publication: None, ..complete() };
    let stop = stop(&wish(), &observed);
    assert_eq!(stop.code, Code::Publication);
    assert!(stop.hint.unwrap().contains("select pg_drop_replication_slot('outboxd_shop')"));
}

#[test]
fn what_the_server_lacks_is_said_before_anything_is_changed() {
    let mut observed = fresh();
    observed.settings.wal_level = "replica".to_owned();
    assert_eq!(stop(&wish(), &observed).code, Code::WalLevel);

    let mut observed = fresh();
    observed.settings.in_recovery = true;
    assert_eq!(stop(&wish(), &observed).code, Code::Permission);

    let observed = Observed { streaming_role: Some(role(false)), ..fresh() };
    assert_eq!(stop(&wish(), &observed).code, Code::Permission);

    let observed = Observed { streaming_role: None, ..fresh() };
    assert_eq!(stop(&wish(), &observed).code, Code::Login);
}

#[test]
fn a_free_slot_is_needed_only_to_create_one() {
    let other = SlotUse { name: "other".to_owned(), active: false, retained_wal: None };
    let full = Capacity { slots_max: 1, slots: vec![other], walsenders_max: 10, walsenders: 0 };
    let observed = Observed { capacity: full.clone(), ..fresh() };
    assert_eq!(stop(&wish(), &observed).code, Code::NoFreeSlot);
    assert!(plan(&wish(), &Observed { capacity: full, ..complete() }).is_ok());
}

#[test]
fn roles_are_made_when_asked_for() {
    let wish = Wish { roles: true, ..wish() };
    insta::assert_snapshot!(sql(&wish, &fresh())[6..].join("\n\n"));
}

#[test]
fn roles_of_the_server_get_their_rights_in_every_database_once() {
    let wish = Wish { roles: true, ..wish() };
    let statements = sql(&wish, &complete());
    assert!(statements[1].starts_with("alter schema outbox owner to outbox_owner"));
    let mut done = Observed { migrations: migrations(&wish, Some(Variant::Plain)), ..complete() };
    done.migrations.roles = ROLES.map(str::to_owned).into();
    assert_eq!(sql(&wish, &done), Vec::<String>::new());
}

#[test]
fn what_is_printed_stays_in_its_comment() {
    let wish = Wish { publication: "a\n; drop table x; --".to_owned(), ..wish() };
    let printed = plan(&wish, &complete_without_publication()).unwrap().to_string();
    assert!(printed.contains("-- publication a ; drop table x; --\n"), "{printed}");
}

fn complete_without_publication() -> Observed {
    Observed { publication: None, slot: None, ..complete() }
}

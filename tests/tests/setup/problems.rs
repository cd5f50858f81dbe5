//! What stands in the way of a relay, each with its code.

use outboxd_core::relation::{ColumnNames, TableName};
use outboxd_core::stop::{Code, Stop};
use outboxd_relay::catalog::capacity::Capacity;
use outboxd_relay::catalog::server::Settings;
use outboxd_relay::catalog::table::{self, check_table_contract};
use outboxd_relay::control::ControlSession;
use outboxd_relay::setup::{self, Observed, Wish};
use outboxd_sandbox::PgVersion;

use crate::{VERSIONS, create_slot, events, server, server_with, session, set_up, wish};

async fn refused(session: &ControlSession, wish: &Wish) -> Stop {
    let observed = Observed::read(session, wish).await.unwrap();
    setup::plan(wish, &observed).unwrap_err()
}

async fn contract(session: &ControlSession, name: &TableName) -> Result<(), Stop> {
    let tables = table::read(session, std::slice::from_ref(name), "outboxd").await.unwrap();
    check_table_contract(&tables, &ColumnNames::default())
}

#[tokio::test]
async fn wal_level_replica() {
    let postgres = server_with(PgVersion::V17, &[("wal_level", "replica")]).await;
    let session = session(&postgres).await;
    let settings = Settings::read(&session).await.unwrap();
    assert_eq!(settings.check_wal_level().unwrap_err().code, Code::WalLevel);
    let stop = refused(&session, &wish(vec![events()])).await;
    assert_eq!(stop.code, Code::WalLevel);
    assert_eq!(stop.detail.unwrap(), "wal_level is replica, it has to be logical");
}

#[tokio::test]
async fn no_free_slot() {
    for version in VERSIONS {
        let postgres = server_with(version, &[("max_replication_slots", "1")]).await;
        let session = session(&postgres).await;
        let wish = wish(vec![events()]);
        assert_eq!(Capacity::read(&session).await.unwrap().check_free_slot(), Ok(()));
        create_slot(&session, "taken").await;
        let stop = refused(&session, &wish).await;
        assert_eq!(stop.code, Code::NoFreeSlot);
        let detail = stop.detail.unwrap();
        assert!(
            detail.starts_with("max_replication_slots is 1; taken (inactive, holds "),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn tables_that_are_no_outbox() {
    let postgres = server(PgVersion::V17).await;
    let session = session(&postgres).await;
    let columns = "id uuid, aggregatetype text, aggregateid text, type text";
    session
        .execute(&format!(
            "create table public.short ({columns});
             create unlogged table public.volatile ({columns}, payload jsonb);
             create view public.seen as select * from public.volatile;
             create table public.computed ({columns}, payload jsonb generated always as ('1') stored);
             create table public.five ({columns}, payload jsonb)"
        ))
        .await
        .unwrap();
    for (table, code) in [
        ("short", Err(Code::TableContract)),
        ("volatile", Err(Code::TableContract)),
        ("seen", Err(Code::TableContract)),
        // Its value would not be sent.
        ("computed", Err(Code::TableContract)),
        ("absent", Err(Code::TableMissing)),
        ("five", Ok(())),
    ] {
        let found = contract(&session, &TableName::new("public", table)).await;
        assert_eq!(found.map_err(|stop| stop.code), code, "{table}");
    }
}

#[tokio::test]
async fn a_column_list_leaves_only_its_columns() {
    for version in [PgVersion::V15, PgVersion::V16, PgVersion::V18] {
        let postgres = server(version).await;
        let session = session(&postgres).await;
        set_up(&session, &wish(vec![events()])).await;
        assert_eq!(contract(&session, &events()).await, Ok(()));
        session
            .execute("alter publication outboxd set table outbox.events (id, type)")
            .await
            .unwrap();
        let stop = contract(&session, &events()).await.unwrap_err();
        assert_eq!(stop.code, Code::TableContract);
        assert!(stop.detail.unwrap().ends_with("the table has: id, type"));
    }
}

#[tokio::test]
async fn roles_without_the_rights() {
    let postgres = server(PgVersion::V17).await;
    let admin = session(&postgres).await;
    admin.execute("create role mere login").await.unwrap();
    let wish = wish(vec![events()]);
    let mere = Wish { streaming_role: "mere".to_owned(), ..wish.clone() };
    assert_eq!(refused(&admin, &mere).await.code, Code::Permission);
    let nobody = Wish { streaming_role: "nobody".to_owned(), ..wish.clone() };
    assert_eq!(refused(&admin, &nobody).await.code, Code::Login);

    let params = crate::params(&postgres);
    let params = outboxd_relay::source::params::ConnectParams { user: "mere".to_owned(), ..params };
    let session = ControlSession::connect(&params).await.unwrap();
    let observed = Observed::read(&session, &wish).await.unwrap();
    let plan = setup::plan(&wish, &observed).unwrap();
    let stop = Stop::from(setup::apply_statements(&session, &plan).await.unwrap_err());
    assert_eq!(stop.code, Code::Permission, "{stop:?}");
}

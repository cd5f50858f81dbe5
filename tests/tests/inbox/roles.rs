//! What each role may do with the inbox, and what it may not.

use std::time::Duration;

use outboxd_client::inbox::Outcome;
use outboxd_sandbox::PgVersion;
use outboxd_tests::scene::unique;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::shop::{Shop, inbox, order, pay, try_and_fail, try_pay};

const ROLES: &str = include_str!("../../../migrations/inbox/0002_inbox_roles.sql");
const PAGE: &str = include_str!("../../../docs/consuming.md");
/// Roles belong to the server, which other tests share.
const CREATE_ROLES: &str = "
    do $$
    declare role text;
    begin
        perform pg_advisory_xact_lock(5);
        foreach role in array array['outbox_owner', 'inbox_consumer', 'outbox_operator'] loop
            if not exists (select from pg_roles where rolname = role) then
                execute format('create role %I nologin', role);
            end if;
        end loop;
    end $$";

/// A login that is a member of a role and nothing else.
async fn login(shop: &Shop, role: &str) -> Client {
    let name = unique("login");
    let sql = format!("create role {name} login password 'secret' in role {role}");
    shop.database.execute(&sql).await.unwrap();
    let mut config: tokio_postgres::Config = shop.database.url().parse().unwrap();
    config.user(&name).password("secret");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn shop_with_roles(version: PgVersion) -> Shop {
    let shop = Shop::on(version).await;
    for sql in [CREATE_ROLES, ROLES, "grant select, insert on payments to inbox_consumer"] {
        shop.database.execute(sql).await.unwrap();
    }
    shop
}

async fn assert_refused(client: &Client, statements: &[&str]) {
    for sql in statements {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn a_consumer_handles_messages_and_deletes_none() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let shop = shop_with_roles(version).await;
        let mut client = login(&shop, "inbox_consumer").await;
        let message = order("a", 1);
        let failed = try_and_fail(&mut client, &inbox(), &message).await.unwrap();
        assert!(matches!(failed, Outcome::Failed { attempt: 1, .. }), "{failed:?}");
        shop.let_time_pass().await;
        let tried =
            inbox().retry_due(&mut client, 1, |tx, message| pay(tx, message)).await.unwrap();
        assert_eq!(tried, [(message, Outcome::Processed(1))]);
        inbox().maintain(&client).await.unwrap();
        inbox().purge(&client, Duration::from_secs(7 * 24 * 3600)).await.unwrap();
        let refused = [
            "delete from inbox.messages",
            "truncate inbox.messages",
            "delete from inbox.watermarks",
            "select inbox.purge_unresolved('7 days')",
            "select inbox.add_leaf('2030-01-01')",
            "create table inbox.mine ()",
            "drop table inbox.messages_timed_rest",
        ];
        assert_refused(&client, &refused).await;
    }
}

#[tokio::test]
async fn an_operator_retries_and_discards_and_sees_no_payload() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let shop = shop_with_roles(version).await;
        let mut consumer = login(&shop, "inbox_consumer").await;
        let operator = login(&shop, "outbox_operator").await;
        let inbox = inbox().max_attempts(1);
        let (retried, discarded) = (order("a", 1), order("b", 2));
        for message in [&retried, &discarded] {
            let dead = try_and_fail(&mut consumer, &inbox, message).await.unwrap();
            assert_eq!(dead, Outcome::Dead { attempts: 1 });
        }
        let look = "select last_error, attempts from inbox.messages where state = 'DEAD'";
        assert_eq!(operator.query(look, &[]).await.unwrap().len(), 2);
        let retry = "update inbox.messages set state = 'FAILED', attempts = 0,
                            next_attempt_at = now(), resolved_by = current_user
                      where consumer = 'payments' and message_id = $1 and state = 'DEAD'";
        assert_eq!(operator.execute(retry, &[&retried.id()]).await.unwrap(), 1);
        let discard = "update inbox.messages set state = 'COMPLETED', next_attempt_at = null,
                              completed_at = now(), resolved_by = current_user
                        where consumer = 'payments' and message_id = $1 and state = 'DEAD'";
        assert_eq!(operator.execute(discard, &[&discarded.id()]).await.unwrap(), 1);
        let paid = try_pay(&mut consumer, &inbox, &retried).await.unwrap();
        assert_eq!(paid, Outcome::Processed(1));
        let skipped = try_pay(&mut consumer, &inbox, &discarded).await.unwrap();
        assert_eq!(skipped, Outcome::Duplicate);
        let refused = [
            "select payload from inbox.messages",
            "select headers from inbox.messages",
            "select key from inbox.messages",
            "update inbox.messages set payload = ''",
            "insert into inbox.messages (consumer, message_id, state, topic, partition, \"offset\")
             values ('x', gen_random_uuid(), 'COMPLETED', 't', 0, 0)",
            "delete from inbox.messages",
            "truncate inbox.messages",
            "update inbox.watermarks set sequence = ''",
        ];
        assert_refused(&operator, &refused).await;
        operator.execute("select inbox.purge_unresolved('7 days')", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_page_tells_operators_to_run_does_what_it_says() {
    let shop = shop_with_roles(PgVersion::V17).await;
    let operator = login(&shop, "outbox_operator").await;
    let mut consumer = shop.client().await;
    let inbox = inbox().max_attempts(1);
    let id = "0198c0de-0000-7000-8000-000000000001".parse().unwrap();
    let block = PAGE.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (revive, discard) = block.split_once("\n\n").unwrap();
    let message = crate::shop::message(id, "a", 1);
    let dead = Outcome::Dead { attempts: 1 };
    assert_eq!(try_and_fail(&mut consumer, &inbox, &message).await.unwrap(), dead);
    operator.batch_execute(revive).await.unwrap();
    assert_eq!(try_and_fail(&mut consumer, &inbox, &message).await.unwrap(), dead, "tried again");
    operator.batch_execute(discard).await.unwrap();
    assert_eq!(try_pay(&mut consumer, &inbox, &message).await.unwrap(), Outcome::Duplicate);
}

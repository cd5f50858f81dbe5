//! `outboxd inbox`: what an operator sees, and does, with no right to read what messages say.

use std::process::Output;

use outboxd_client::inbox::Outcome;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::unique;
use serde_json::Value;

use crate::shop::{Shop, inbox, order, try_and_fail, try_pay};

/// A login that is in `outbox_operator` and nothing else.
async fn operator_of(shop: &Shop) -> String {
    let login = unique("op");
    let roles = format!(
        "do $$ begin create role outbox_operator; exception when duplicate_object or unique_violation then null; end $$;
         create role {login} login password 'op' in role outbox_operator;
         grant connect on database {} to {login}",
        shop.database.name()
    );
    for sql in [roles.as_str(), ROLES] {
        shop.database.execute(sql).await.unwrap();
    }
    let address = shop.database.address().unwrap();
    format!("postgres://{login}:op@{address}/{}", shop.database.name())
}

async fn ask(url: &str, args: &[&str]) -> Output {
    let command = RelayCommand::bare(&["inbox"]);
    let command = args.iter().fold(command, |command, arg| command.arg(arg));
    command.arg("--database-url").arg(url).output().await.unwrap()
}

/// Of a command that has to succeed.
async fn told(url: &str, args: &[&str]) -> String {
    let output = ask(url, args).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Of a command that has to fail.
async fn refused(url: &str, args: &[&str]) -> String {
    let output = ask(url, args).await;
    assert!(!output.status.success(), "{args:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_dead_message_is_seen_retried_and_handled() {
    let shop = Shop::new().await;
    let url = operator_of(&shop).await;
    let mut client = shop.client().await;
    let (inbox, message) = (inbox().max_attempts(1), order("a", 1));
    let id = message.id().unwrap().to_string();
    assert_eq!(try_pay(&mut client, &inbox, &order("b", 2)).await.unwrap(), Outcome::Processed(1));
    let dead = try_and_fail(&mut client, &inbox, &message).await.unwrap();
    assert_eq!(dead, Outcome::Dead { attempts: 1 });

    let listed = objects(&told(&url, &["list", "--json"]).await);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["message_id"], id.as_str());
    assert_eq!(listed[0]["last_error"], "card declined");
    assert!(told(&url, &["list"]).await.contains(&id));
    assert!(!told(&url, &["list", "--state", "failed"]).await.contains(&id));
    let stats = objects(&told(&url, &["stats", "--json"]).await);
    let counts = (&stats[0]["completed"], &stats[0]["dead"], &stats[0]["failed"]);
    assert_eq!(counts, (&1.into(), &1.into(), &0.into()));

    let before = told(&url, &["retry", &id, "--dry-run"]).await;
    assert_eq!(before, "1 message would be retried\n");
    assert_eq!(shop.row(&message).await, Some(("DEAD".to_owned(), 1)), "a dry run does nothing");
    assert_eq!(told(&url, &["retry", &id]).await, "1 message due now\n");
    assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), Outcome::Processed(1));
    assert_eq!(shop.payments("a").await, 1);
    let shown: Value = serde_json::from_str(&told(&url, &["show", &id]).await).unwrap();
    assert_eq!(shown["state"], "COMPLETED");
}

#[tokio::test]
async fn a_discarded_message_is_handled_by_nobody() {
    let shop = Shop::new().await;
    let url = operator_of(&shop).await;
    let mut client = shop.client().await;
    let (inbox, message) = (inbox(), order("a", 1));
    let id = message.id().unwrap().to_string();
    let failed = try_and_fail(&mut client, &inbox, &message).await.unwrap();
    assert!(matches!(failed, Outcome::Failed { attempt: 1, .. }), "{failed:?}");

    assert!(refused(&url, &["discard", &id]).await.contains("--yes"));
    assert_eq!(shop.row(&message).await, Some(("FAILED".to_owned(), 1)));
    assert_eq!(told(&url, &["discard", &id, "--yes"]).await, "1 message given up\n");
    assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), Outcome::Duplicate);
    assert_eq!(shop.payments("a").await, 0);
    let again = refused(&url, &["retry", &id]).await;
    assert!(again.contains("neither failed nor dead: COMPLETED"), "{again}");
}

#[tokio::test]
async fn what_a_message_says_takes_a_right_of_its_own() {
    let shop = Shop::new().await;
    let url = operator_of(&shop).await;
    let mut client = shop.client().await;
    let message = order("a", 1);
    let id = message.id().unwrap().to_string();
    let failed = try_and_fail(&mut client, &inbox(), &message).await.unwrap();
    assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");

    let refusal = refused(&url, &["show", &id, "--payload"]).await;
    assert!(refusal.contains("permission"), "{refusal}");
    let text = told(shop.database.url(), &["show", &id, "--payload"]).await;
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["payload"], "{\"amount\": 7}");
    assert_eq!(shown["key"], "a");
}

#[tokio::test]
async fn bad_requests_are_told_apart() {
    let shop = Shop::new().await;
    let url = operator_of(&shop).await;
    let no_id = refused(&url, &["show", "42"]).await;
    assert!(no_id.contains("no id of a message"), "{no_id}");
    let unseen = "01890000-0000-7000-8000-000000000000";
    let nobody = refused(&url, &["retry", unseen]).await;
    assert!(nobody.contains("nobody has seen it"), "{nobody}");
    let nothing = refused(&url, &["retry"]).await;
    assert!(nothing.contains("--all"), "{nothing}");
    assert_eq!(told(&url, &["list"]).await, "everything is handled\n");
    let hour = refused(&url, &["purge", "--older-than", "1h"]).await;
    assert!(hour.contains("less than a day"), "{hour}");
    let purged: Value =
        serde_json::from_str(&told(&url, &["purge", "--older-than", "7d"]).await).unwrap();
    assert_eq!(purged["rows_deleted"], 0);
    let lost = refused(&url, &["purge", "--older-than", "7d", "--unresolved"]).await;
    assert!(lost.contains("--yes"), "{lost}");
}

const ROLES: &str = include_str!("../../../migrations/inbox/0002_inbox_roles.sql");

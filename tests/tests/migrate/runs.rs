//! Running it again, several at once, after changes, and over what was there before.

use anyhow::{Result, ensure};
use outboxd_core::stop::{Code, Stop};
use outboxd_relay::migrate::status::Status;
use outboxd_relay::migrate::{Observed, Part, Variant, Wish};
use outboxd_sandbox::PgVersion;
use outboxd_tests::database::Database;
use outboxd_tests::relay::RelayCommand;

use crate::{VERSIONS, catalog, database, session, text, up, wish};

#[tokio::test]
async fn a_second_run_does_nothing() -> Result<()> {
    for version in VERSIONS {
        for variant in Variant::ALL {
            let database = database(version).await?;
            let wish = Wish { roles: true, ..wish(variant) };
            ensure!(!up(&database, &wish).await?.is_empty());
            let before = catalog::read(&database).await?;
            let second = up(&database, &wish).await?;
            ensure!(second.is_empty(), "{version} {variant}: {second:?}");
            ensure!(catalog::read(&database).await? == before, "{version} {variant}");
            let observed = Observed::read(&session(&database).await?, &wish).await?;
            ensure!(Status::of(&wish, &observed)?.is_complete());
        }
    }
    Ok(())
}

#[tokio::test]
async fn of_several_at_once_one_does_the_work() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    let one = || async { up(&database, &wish(Variant::Rotating)).await };
    let (a, b, c) = tokio::try_join!(one(), one(), one())?;
    ensure!([a, b, c].iter().filter(|plan| !plan.is_empty()).count() == 1);
    Ok(())
}

#[tokio::test]
async fn a_changed_file_stops_it() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    up(&database, &wish(Variant::Plain)).await?;
    let edit = "update outbox.migrations set checksum = 'edited' where name = 'outbox/0003_emit'";
    database.execute(edit).await?;
    let stop: Stop = up(&database, &wish(Variant::Plain)).await.unwrap_err().downcast()?;
    ensure!(stop.code == Code::Migration, "{stop:?}");
    ensure!(stop.message == "outbox/0003_emit is not the file that was applied", "{stop:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_fails_leaves_nothing_of_itself_and_all_before_it() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    database.execute("create schema outbox; create function outbox.emit(text, text, text, jsonb, jsonb, uuid, timestamptz) returns uuid language sql as 'select null::uuid'").await?;
    up(&database, &wish(Variant::Plain)).await.unwrap_err();
    let names = "select string_agg(name, ' ' order by name collate \"C\") from outbox.migrations";
    let applied = text(&database, names).await?;
    ensure!(
        applied == "outbox/0001_schema outbox/0002_guards outbox/plain/0001_events",
        "{applied}"
    );
    database.execute("drop function outbox.emit").await?;
    ensure!(up(&database, &wish(Variant::Plain)).await?.steps().count() == 2);
    Ok(())
}

/// What `setup` made before there was a book is taken over, and ends as a new one does.
#[tokio::test]
async fn a_table_without_a_book_is_recognised() -> Result<()> {
    let (old, new) = (database(PgVersion::V17).await?, database(PgVersion::V17).await?);
    old.create_outbox().await?;
    let insert = "insert into outbox.events (aggregatetype, type) values ('a', 't')";
    old.execute(insert).await?;
    let any = Wish { variant: None, ..wish(Variant::Plain) };
    let plan = up(&old, &any).await?;
    ensure!(plan.steps().filter(|step| step.is_found).count() == 2, "{plan:?}");
    up(&new, &wish(Variant::Plain)).await?;
    ensure!(catalog::read(&old).await? == catalog::read(&new).await?);
    ensure!(text(&old, "select count(*)::text from outbox.events").await? == "1");
    Ok(())
}

#[tokio::test]
async fn somebody_elses_table_is_not_touched() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    database.execute("create schema outbox; create table outbox.events (id uuid)").await?;
    let stop: Stop = up(&database, &wish(Variant::Rotating)).await.unwrap_err().downcast()?;
    ensure!(stop.code == Code::Migration && stop.hint.is_some(), "{stop:?}");
    let letters = Wish { parts: vec![Part::DeadLetters], ..wish(Variant::Rotating) };
    ensure!(!up(&database, &letters).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_schema_of_another_name_works_alike() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    for variant in Variant::ALL {
        let schema = format!("shop_{variant}");
        let parts = vec![Part::Outbox];
        let wish = Wish { parts, schema: Some(schema.parse()?), roles: true, ..wish(variant) };
        up(&database, &wish).await?;
        let emit = format!("select {schema}.emit('a', 'k', 't', '1')::text");
        text(&database, &emit).await?;
        ensure!(up(&database, &wish).await?.is_empty());
    }
    ensure!(
        text(&database, "select leaf from shop_rotating.rotate()").await?
            == "shop_rotating.events_2"
    );
    let there = "select count(*)::text from pg_namespace where nspname = 'outbox'";
    ensure!(text(&database, there).await? == "0");
    Ok(())
}

/// The program itself: outputs, exit statuses, and that no Kafka is needed.
#[tokio::test]
async fn the_command_says_what_it_did() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    let (status, said) = run(&database, &["status"]).await?;
    ensure!(status == 3, "nothing is there: {said}");
    let (status, said) = run(&database, &["up", "--dry-run"]).await?;
    ensure!(status == 0 && said.starts_with("would apply  outbox/0001_schema"), "{said}");
    let (status, said) = run(&database, &["up", "--only", "outbox"]).await?;
    ensure!(status == 0 && said.contains("applied  outbox/rotating/0001_events"), "{said}");
    let (status, said) = run(&database, &["up", "--only", "outbox"]).await?;
    ensure!((status, said.as_str()) == (0, "nothing to do\n"));
    let (status, said) = run(&database, &["status", "--json"]).await?;
    let json: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(status == 0 && json["parts"][0]["variant"] == "rotating", "{said}");
    ensure!(json["parts"][0]["files"][0]["state"] == "applied", "{said}");
    let (status, _) = run(&database, &["up", "--variant", "view"]).await?;
    ensure!(status == 13);
    Ok(())
}

async fn run(database: &Database, args: &[&str]) -> Result<(i32, String)> {
    let line = [&["migrate"], args, &["--database-url", database.url()]].concat();
    let output = RelayCommand::bare(&line).output().await?;
    Ok((output.status.code().unwrap_or(-1), String::from_utf8(output.stdout)?))
}

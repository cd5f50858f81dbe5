//! The database of the shop: of a Postgres started for it, or on a server of the user's.

use std::path::Path;

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::config::{Config, Inputs};
use outboxd_relay::control::{ControlError, ControlSession};
use outboxd_relay::setup::{self, Observed, Wish};
use outboxd_relay::source::params::ConnectParams;
use outboxd_relay::wiring;
use outboxd_sandbox::{Error, Flavour, PgOptions, PgVersion, Postgres};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::names::{Names, PREFIX};

pub(super) struct Database {
    pub(super) url: String,
    names: Names,
    /// Ours to stop.
    server: Option<Postgres>,
}

impl Database {
    pub(super) fn of_the_user(url: &str, names: &Names) -> Self {
        Self { url: url.to_owned(), names: names.clone(), server: None }
    }

    /// Starts a server of its own: installed programs where there are any, else fetched ones.
    pub(super) async fn start(names: &Names) -> Result<Self, Stop> {
        let mut options = PgOptions::of(installed().unwrap_or(FETCHED));
        // It is the relay that crashes here, not the server: how fast the disk is does not matter.
        options.settings.push(("fsync".to_owned(), "off".to_owned()));
        let server = Postgres::start_in(Flavour::Processes, options).await;
        let server = server.map_err(|error| not_started(&error))?;
        Ok(Self { url: server.url("postgres"), names: names.clone(), server: Some(server) })
    }

    /// What the server calls itself.
    pub(super) async fn version(&self) -> Result<String, Stop> {
        let row =
            self.session().await?.row("select current_setting('server_version')", &[]).await?;
        let version: String = row.try_get(0).map_err(ControlError::from)?;
        // Distributions add their own number in parentheses.
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Runs of the demo that were killed before they could remove what they had made: their slots
    /// hold WAL back until somebody drops them.
    pub(super) async fn left_by_others(&self) -> Result<Vec<String>, Stop> {
        let sql = "select slot_name::text from pg_replication_slots
                   where starts_with(slot_name::text, $1) and not active
                     and database = current_database()";
        let rows = self.session().await?.rows(sql, &[(&PREFIX, Type::TEXT)]).await?;
        let name = |row: &Row| row.try_get(0).map_err(|error| ControlError::from(error).into());
        rows.iter().map(name).collect()
    }

    /// Logs in as the relay does, so that what works for one works for the other.
    pub(super) async fn session(&self) -> Result<ControlSession, Stop> {
        Ok(ControlSession::connect(&self.params()?).await?)
    }

    /// Makes the tables, and what `outboxd setup` makes: checks of the server and a publication.
    pub(super) async fn set_up(&self) -> Result<(), Stop> {
        let (config, names) = (self.config()?, &self.names);
        let wish = Wish {
            database: config.source.database.clone(),
            tables: wiring::tables(&config)?,
            columns: wiring::columns(&config),
            publication: names.run(),
            slot: names.run(),
            failover: false,
            streaming_role: self.params()?.user,
            progress_topic: None,
            roles: false,
        };
        let session = self.session().await?;
        let made = session.execute(&schema(names)).await;
        made.map_err(|error| not_permitted(error.into(), &wish))?;
        let observed = Observed::read(&session, &wish).await?;
        Ok(setup::apply_statements(&session, &setup::plan(&wish, &observed)?).await?)
    }

    /// Removes what was made on a server that stays. One of our own goes with all that is in it.
    pub(super) async fn remove(self) -> Result<(), Stop> {
        if self.server.is_some() {
            return Ok(());
        }
        let failed = |stop: Stop| left_over(&stop, &self.names);
        let session = self.session().await.map_err(failed)?;
        let removed = session.execute(&removal(&self.names)).await;
        removed.map_err(|error| failed(error.into()))
    }

    fn params(&self) -> Result<ConnectParams, Stop> {
        let config = self.config()?;
        wiring::connect_params(&config.source, &config.source.url)
    }

    fn config(&self) -> Result<Config, Stop> {
        let environment = self.names.configuration(&self.url, "unused:9092");
        Config::load(&Inputs { environment, ..Inputs::default() })
    }
}

fn schema(names: &Names) -> String {
    SCHEMA
        .replace("demo.", &names.table(""))
        .replace("schema demo", &format!("schema {}", names.run()))
}

/// The relay is gone, but its walsender may need a moment to notice.
fn removal(names: &Names) -> String {
    let name = names.run();
    format!(
        "select pg_terminate_backend(active_pid) from pg_replication_slots
             where slot_name = '{name}' and active_pid is not null;
         do $$
         begin
             for attempt in 1..200 loop
                 exit when not exists (
                     select from pg_replication_slots where slot_name = '{name}' and active);
                 perform pg_sleep(0.02);
             end loop;
         end $$;
         select pg_drop_replication_slot(slot_name)
             from pg_replication_slots where slot_name = '{name}';
         drop publication if exists {name};
         drop schema if exists {name} cascade"
    )
}

/// The newest version that is installed where Debian and the PostgreSQL project put it.
fn installed() -> Option<PgVersion> {
    let has_server = |version: &PgVersion| {
        Path::new(&format!("/usr/lib/postgresql/{version}/bin/postgres")).is_file()
    };
    PgVersion::ALL.into_iter().rev().find(has_server)
}

fn not_started(error: &Error) -> Stop {
    let hint = match error {
        Error::Fetch { .. } | Error::NoBinaries { .. } | Error::Checksum { .. } => {
            "install it (Debian: apt-get install postgresql), or name a server with --database-url"
        }
        _ => "name a server of yours with --database-url",
    };
    let stop = Stop::new(Code::PostgresUnreachable, "no Postgres could be started for the demo");
    stop.detail(chain(error)).hint(hint)
}

fn not_permitted(stop: Stop, wish: &Wish) -> Stop {
    match stop.code {
        Code::Permission => stop.hint(format!(
            "the demo makes a schema of its own: grant create on database \"{}\" to \"{}\"",
            wish.database, wish.streaming_role
        )),
        _ => stop,
    }
}

fn left_over(stop: &Stop, names: &Names) -> Stop {
    Stop::new(stop.code, "the demo could not remove what it made in the database")
        .detail(stop.detail.clone().unwrap_or_else(|| stop.message.clone()))
        .hint(by_hand(&names.run()))
}

/// How to remove what a run has made.
pub(super) fn by_hand(run: &str) -> String {
    format!(
        "select pg_drop_replication_slot('{run}'); drop publication {run}; drop schema {run} cascade"
    )
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

const FETCHED: PgVersion = PgVersion::V17;
const SCHEMA: &str = include_str!("schema.sql");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_the_name_of_the_run_everywhere() {
        let names = Names::of_this_run();
        let schema = schema(&names);
        assert!(schema.starts_with(&format!("create schema {};", names.run())), "{schema}");
        let left = schema.replace(&names.run(), "").replace("`outboxd demo`", "");
        assert!(!left.contains("demo"), "{left}");
    }
}

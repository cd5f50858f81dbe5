//! The database of the shop: of a Postgres started for it, or on a server of the user's.

use std::path::Path;

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::config::{Config, Inputs};
use outboxd_relay::control::{ControlError, ControlSession};
use outboxd_relay::setup::{self, Observed, Wish};
use outboxd_relay::source::params::ConnectParams;
use outboxd_relay::wiring;
use outboxd_sandbox::{Error, Flavour, PgOptions, PgVersion, Postgres};

use super::names::Names;

pub(super) struct Database {
    pub(super) url: String,
    /// Ours to stop.
    server: Option<Postgres>,
}

impl Database {
    pub(super) fn of_the_user(url: &str) -> Self {
        Self { url: url.to_owned(), server: None }
    }

    /// Starts a server of its own: installed programs where there are any, else fetched ones.
    pub(super) async fn start() -> Result<Self, Stop> {
        let mut options = PgOptions::of(installed().unwrap_or(FETCHED));
        // It is the relay that crashes here, not the server: how fast the disk is does not matter.
        options.settings.push(("fsync".to_owned(), "off".to_owned()));
        let server = Postgres::start_in(Flavour::Processes, options).await;
        let server = server.map_err(|error| not_started(&error))?;
        Ok(Self { url: server.url("postgres"), server: Some(server) })
    }

    /// What the server calls itself.
    pub(super) async fn version(&self) -> Result<String, Stop> {
        let row =
            self.session().await?.row("select current_setting('server_version')", &[]).await?;
        let version: String = row.try_get(0).map_err(ControlError::from)?;
        // Distributions add their own number in parentheses.
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Logs in as the relay does, so that what works for one works for the other.
    pub(super) async fn session(&self) -> Result<ControlSession, Stop> {
        Ok(ControlSession::connect(&self.params()?).await?)
    }

    /// Makes the tables, and what `outboxd setup` makes: checks of the server and a publication.
    pub(super) async fn set_up(&self, names: &Names) -> Result<(), Stop> {
        let config = self.config(names)?;
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
        session.execute(&schema(names)).await?;
        let observed = Observed::read(&session, &wish).await?;
        Ok(setup::apply_statements(&session, &setup::plan(&wish, &observed)?).await?)
    }

    /// Removes what was made on a server that stays. One of our own goes with all that is in it.
    pub(super) async fn remove(self, names: &Names) -> Result<(), Stop> {
        if self.server.is_some() {
            return Ok(());
        }
        let by_hand = |stop: Stop| left_over(&stop, names);
        let session = self.session().await.map_err(by_hand)?;
        let removed = session.execute(&removal(names)).await;
        removed.map_err(|error| by_hand(error.into()))
    }

    fn params(&self) -> Result<ConnectParams, Stop> {
        let config = self.config(&Names::of_this_run())?;
        wiring::connect_params(&config.source, &config.source.url)
    }

    fn config(&self, names: &Names) -> Result<Config, Stop> {
        let environment = names.configuration(&self.url, "unused:9092");
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
    stop.detail(format!("{:#}", chain(error))).hint(hint)
}

fn left_over(stop: &Stop, names: &Names) -> Stop {
    let name = names.run();
    Stop::new(stop.code, "the demo could not remove what it made in the database")
        .detail(stop.detail.clone().unwrap_or_else(|| stop.message.clone()))
        .hint(format!(
            "select pg_drop_replication_slot('{name}'); drop publication {name}; \
             drop schema {name} cascade"
        ))
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

//! The two databases: one of the order service with the outbox, one of the payment service with the
//! inbox. Both are made for the run, on a Postgres started for it or on a server of the user's.

mod url;

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

use self::url::with_database;
use super::names::{Names, PREFIX};
use super::plan::Plan;

pub(super) struct Databases {
    /// Where others are made from.
    url: String,
    pub(super) orders_url: String,
    pub(super) payments_url: String,
    names: Names,
    /// Ours to stop.
    server: Option<Postgres>,
}

impl Databases {
    pub(super) fn of_the_user(url: &str, names: &Names) -> Self {
        Self::on(url, names, None)
    }

    /// Starts a server of its own: installed programs where there are any, else fetched ones.
    pub(super) async fn start(names: &Names) -> Result<Self, Stop> {
        let mut options = PgOptions::of(installed().unwrap_or(FETCHED));
        // It is others that crash here, not the server: how fast the disk is does not matter.
        options.settings.push(("fsync".to_owned(), "off".to_owned()));
        let server = Postgres::start_in(Flavour::Processes, options).await;
        let server = server.map_err(|error| not_started(&error))?;
        Ok(Self::on(&server.url("postgres"), names, Some(server)))
    }

    fn on(url: &str, names: &Names, server: Option<Postgres>) -> Self {
        Self {
            orders_url: with_database(url, &names.orders_database()),
            payments_url: with_database(url, &names.payments_database()),
            url: url.to_owned(),
            names: names.clone(),
            server,
        }
    }

    /// What the server calls itself.
    pub(super) async fn version(&self) -> Result<String, Stop> {
        let session = connect(&self.url).await?;
        let row = session.row("select current_setting('server_version')", &[]).await?;
        let version: String = row.try_get(0).map_err(ControlError::from)?;
        // Distributions add their own number in parentheses.
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Runs of the demo that were killed before they could remove what they had made: their slots
    /// hold WAL back until somebody drops them.
    pub(super) async fn left_by_others(&self) -> Result<Vec<String>, Stop> {
        let sql = "select slot_name::text from pg_replication_slots
                   where starts_with(slot_name::text, $1) and not active";
        let session = connect(&self.url).await?;
        let rows = session.rows(sql, &[(&PREFIX, Type::TEXT)]).await?;
        let name = |row: &Row| row.try_get(0).map_err(|error| ControlError::from(error).into());
        rows.iter().map(name).collect()
    }

    /// Makes the databases and what is in them, with what `outboxd setup` makes: checks of the
    /// server, the outbox, the dead letters and a publication.
    pub(super) async fn set_up(&self, plan: &Plan) -> Result<(), Stop> {
        let session = connect(&self.url).await?;
        for database in [self.names.orders_database(), self.names.payments_database()] {
            let made = session.execute(&format!("create database {database}")).await;
            made.map_err(|error| not_permitted(error.into()))?;
        }
        self.set_up_orders().await?;
        self.set_up_payments(plan).await
    }

    async fn set_up_orders(&self) -> Result<(), Stop> {
        let (config, names) = (config(&self.names, &self.orders_url)?, &self.names);
        let params = wiring::connect_params(&config.source, &config.source.url)?;
        let wish = Wish {
            database: config.source.database.clone(),
            tables: wiring::tables(&config)?,
            columns: wiring::columns(&config),
            publication: names.run(),
            slot: names.run(),
            failover: false,
            streaming_role: params.user,
            progress_topic: None,
            roles: false,
        };
        let session = connect(&self.orders_url).await?;
        session.execute(ORDERS).await?;
        let observed = Observed::read(&session, &wish).await?;
        Ok(setup::apply_statements(&session, &setup::plan(&wish, &observed)?).await?)
    }

    async fn set_up_payments(&self, plan: &Plan) -> Result<(), Stop> {
        let session = connect(&self.payments_url).await?;
        session.execute(INBOX).await?;
        session.execute(PAYMENTS).await?;
        for order in plan.orders.iter().filter(|order| order.provider_failures > 0) {
            let parameters =
                [(&order.number as _, Type::INT8), (&order.provider_failures as _, Type::INT4)];
            session.rows(PROVIDER_FAILURE, &parameters).await?;
        }
        Ok(())
    }

    /// Removes what was made on a server that stays. One of our own goes with all that is in it.
    pub(super) async fn remove(self) -> Result<(), Stop> {
        if self.server.is_some() {
            return Ok(());
        }
        let failed = |stop: Stop| left_over(&stop, &self.names);
        let session = connect(&self.url).await.map_err(failed)?;
        let slot = removal_of_slot(&self.names.run());
        session.execute(&slot).await.map_err(|error| failed(error.into()))?;
        for database in [self.names.orders_database(), self.names.payments_database()] {
            let drop = format!("drop database if exists {database} with (force)");
            session.execute(&drop).await.map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }
}

/// Logs in as the relay does, so that what works for one works for all.
pub(super) async fn connect(url: &str) -> Result<ControlSession, Stop> {
    Ok(ControlSession::connect(&params(url)?).await?)
}

fn params(url: &str) -> Result<ConnectParams, Stop> {
    let config = config(&Names::of_this_run(), url)?;
    wiring::connect_params(&config.source, &config.source.url)
}

fn config(names: &Names, url: &str) -> Result<Config, Stop> {
    let environment = names.configuration(url, "unused:9092");
    Config::load(&Inputs { environment, ..Inputs::default() })
}

/// The relay is gone, but its walsender may need a moment to notice.
fn removal_of_slot(name: &str) -> String {
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
             from pg_replication_slots where slot_name = '{name}'"
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

fn not_permitted(stop: Stop) -> Stop {
    match stop.code {
        Code::Permission => {
            stop.hint("the demo makes two databases of its own: alter role … createdb replication")
        }
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
        "select pg_drop_replication_slot('{run}'); drop database {run}_orders; drop database \
         {run}_payments"
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
const ORDERS: &str = include_str!("orders.sql");
const PAYMENTS: &str = include_str!("payments.sql");
const INBOX: &str = include_str!("../../../../migrations/inbox/0001_inbox.sql");
const PROVIDER_FAILURE: &str = "
    insert into payment_service.provider_failures (order_number, remaining) values ($1, $2)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_by_hand_is_what_is_made() {
        let names = Names::of_this_run();
        let by_hand = by_hand(&names.run());
        for made in [names.run(), names.orders_database(), names.payments_database()] {
            assert!(by_hand.contains(&made), "{made} is not in {by_hand}");
        }
    }
}

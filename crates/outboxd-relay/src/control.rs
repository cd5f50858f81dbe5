//! The control session: plain SQL beside the replication stream.
//!
//! It reads the catalog, watches the publication and the slot, and carries `setup`. It never
//! touches the stream, and nothing of an event passes through it.

mod auth_guard;
mod error;
mod login;
mod text_rows;
mod version;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use self::login::LoggedIn;
use crate::source::params::ConnectParams;
pub use error::ControlError;
pub(crate) use text_rows::TextRows;
pub use version::ServerVersion;

/// A logged-in session. Dropping it ends the connection.
#[derive(Debug)]
pub struct ControlSession {
    client: Client,
    driver: JoinHandle<()>,
    notified: Arc<Notify>,
    version: ServerVersion,
}

/// A query parameter with its type, so that no round trip is spent on asking for it.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl ControlSession {
    /// Logs in to the first server that will do, and makes the session independent of what the
    /// role or the database has set.
    pub async fn connect(params: &ConnectParams) -> Result<Self, ControlError> {
        let LoggedIn { client, driver, notified } = login::log_in(params).await?;
        let mut session = Self { client, driver, notified, version: ServerVersion::UNKNOWN };
        session.run(&session_settings()).await?;
        session.version = session.server_version().await?;
        Ok(session)
    }

    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// The client itself, for those who need transactions of their own.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Resolves when the connection is gone, whoever ended it.
    pub async fn closed(&mut self) {
        // A panic of the driver ends the session as well.
        let _ = (&mut self.driver).await;
    }

    /// Waits for a NOTIFY; `false` when the connection is gone. Cancel safe.
    pub async fn noticed(&mut self) -> bool {
        tokio::select! {
            () = self.notified.notified() => true,
            _ = &mut self.driver => false,
        }
    }

    pub async fn rows(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, ControlError> {
        answered(self.client.query_typed(sql, parameters)).await
    }

    /// For a query that answers with exactly one row.
    pub async fn row(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, ControlError> {
        let mut rows = self.rows(sql, parameters).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => Err(ControlError::row_count(sql)),
        }
    }

    /// Runs a statement without results.
    pub async fn run(&self, sql: &str) -> Result<(), ControlError> {
        answered(self.client.batch_execute(sql)).await
    }

    /// Runs one or more statements without results, however long all of them take together.
    pub async fn execute(&self, sql: &str) -> Result<(), ControlError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The rows of a query without parameters as Postgres prints them, read as they are taken.
    pub(crate) async fn text_rows(&self, sql: &str) -> Result<TextRows, ControlError> {
        Ok(TextRows::new(self.client.simple_query_raw(sql).await?))
    }

    async fn server_version(&self) -> Result<ServerVersion, ControlError> {
        let row = self.row("select current_setting('server_version_num')::int4", &[]).await?;
        Ok(ServerVersion::from_number(row.try_get(0)?))
    }
}

impl Drop for ControlSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The server ends what takes too long, so one that does not answer either is gone.
async fn answered<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ControlError> {
    match timeout(ANSWERED_WITHIN, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ControlError::unanswered(ANSWERED_WITHIN)),
    }
}

/// An empty search path: only what is named with its schema, or built in, can be meant.
fn session_settings() -> String {
    let statement = STATEMENT_TIMEOUT.as_millis();
    let lock = LOCK_TIMEOUT.as_millis();
    format!(
        "set search_path = ''; set statement_timeout = {statement}; set lock_timeout = {lock}; \
         set idle_in_transaction_session_timeout = {statement}; set default_transaction_read_only = off"
    )
}

/// Far above what a catalog query takes; reached only when the server is in trouble.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWERED_WITHIN: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(5));
/// A statement that queues for a lock makes all later ones queue behind it: give way early.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

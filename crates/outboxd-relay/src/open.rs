//! Opening a session: connect, take the lock, look at the server. And watching it afterwards.

use std::sync::Arc;
use std::time::Duration;

use outboxd_core::gate::{Observed, Publication, Server, Slot};
use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Progress;
use outboxd_core::relation::{ColumnNames, TableName};
use outboxd_core::relay::RotationFailure;
use outboxd_core::stop::{Code, Stop};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::catalog;
use crate::config::SourceConfig;
use crate::control::{ControlError, ControlSession, ServerVersion};
use crate::error_chain;
use crate::link_failure::LinkFailure;
use crate::rotation::{self, Rotated};
use crate::setup::reporting_open_transactions;
use crate::source::session::{ReplicationSession, SessionOptions};
use crate::wiring::connect_params;

/// What a session is opened with.
#[derive(Debug)]
pub struct Opener {
    pub source: SourceConfig,
    pub tables: Vec<TableName>,
    pub columns: ColumnNames,
    /// Wait for the lock while another relay holds it.
    pub stand_by: bool,
    /// Give up when a server cannot be reached, instead of trying again for ever.
    pub fail_fast: bool,
    pub backoff: (Duration, Duration),
}

/// A session, and who has the lock.
#[derive(Debug)]
pub(crate) enum Connected {
    Locked(ReplicationSession),
    /// Another relay has it.
    Waiting(ReplicationSession),
}

/// The control session of a running stream: tells when the publication or the slot changes.
#[derive(Debug)]
pub struct Watch {
    control: ControlSession,
    opener: Arc<Watching>,
    look_at: Instant,
}

#[derive(Debug)]
struct Watching {
    slot: String,
    publication: String,
    tables: Vec<TableName>,
    fingerprint: Option<String>,
}

/// What the control session did.
#[derive(Debug)]
pub(crate) enum Seen {
    Watched(Watched),
    Rotated(Result<Vec<Rotated>, RotationFailure>),
}

/// One look at the catalog.
#[derive(Clone, Debug)]
pub struct Watched {
    pub wal_end: Lsn,
    pub slot: Option<Slot>,
    pub publication: Option<Publication>,
    /// The publication is not the one that the stream began with.
    pub publication_changed: bool,
    pub oldest_transaction: Duration,
}

impl Opener {
    /// Connects and asks for the lock of this name on the walsender session, which it dies with.
    /// `was_let_in`: a refused login is tried again, since a password may be changed on the server
    /// before it is in our file.
    pub(crate) async fn connect(&self, was_let_in: bool) -> Result<Connected, LinkFailure> {
        let mut session = self.session(was_let_in).await?;
        if session.try_lock(&self.source.name).await? {
            return Ok(Connected::Locked(session));
        }
        if !self.stand_by {
            return Err(LinkFailure::Stop(in_use(&self.source.name)));
        }
        tracing::info!(
            event = "relay.standby",
            slot = self.source.slot,
            "standing by: another is active"
        );
        Ok(Connected::Waiting(session))
    }

    /// A session without the lock: for those who only look.
    pub(crate) async fn session(
        &self,
        was_let_in: bool,
    ) -> Result<ReplicationSession, LinkFailure> {
        let params = connect_params(&self.source, &self.source.replication_url)?;
        let options = SessionOptions {
            wal_sender_timeout: self.source.wal_sender_timeout,
            max_row_bytes: self.source.max_row_bytes.as_usize(),
        };
        let connected = ReplicationSession::connect(&params, options).await;
        connected.map_err(|error| {
            let Some(stop) = error.to_login_stop(&params) else {
                return LinkFailure::Session(error);
            };
            let may_pass = error.is_transient() || (was_let_in && stop.code == Code::Login);
            match may_pass && !self.fail_fast {
                true => LinkFailure::Session(error),
                false => LinkFailure::Stop(stop),
            }
        })
    }

    /// Stands by until the other relay is gone.
    pub(crate) async fn wait_for_lock(
        &self,
        mut session: ReplicationSession,
    ) -> Result<ReplicationSession, LinkFailure> {
        let slice = session.lock_wait_slice().await?;
        while !session.lock_slice(&self.source.name, slice).await? {}
        Ok(session)
    }

    /// Everything the gate looks at.
    pub(crate) async fn observe(
        &self,
        session: &mut ReplicationSession,
        progress: Option<&Progress>,
    ) -> Result<(Observed, Watch), LinkFailure> {
        let identity = session.identify_system().await?;
        let history = match progress {
            Some(progress) if progress.timeline < identity.timeline => {
                session.timeline_history(identity.timeline).await?
            }
            _ => Vec::new(),
        };
        let control = self.control().await?;
        catalog::server::Settings::read(&control).await?.check_wal_level()?;
        let tables = catalog::table::read(&control, &self.tables, &self.source.publication).await?;
        catalog::table::check_table_contract(&tables, &self.columns)?;
        let slot = catalog::slot::read(&control, &self.source.slot).await?;
        let publication =
            catalog::publication::read(&control, &self.source.publication, &self.tables);
        let publication = publication.await?.map(Publication::from);
        let server = Server {
            system_id: identity.system_id,
            timeline: identity.timeline,
            flush_lsn: identity.flush_lsn,
            database: identity.database,
            history,
        };
        let opener = Arc::new(Watching {
            slot: self.source.slot.clone(),
            publication: self.source.publication.clone(),
            tables: self.tables.clone(),
            fingerprint: publication.as_ref().map(|publication| publication.fingerprint.clone()),
        });
        let look_at = Instant::now() + WATCH_EVERY;
        Ok((Observed { server, slot, publication }, Watch { control, opener, look_at }))
    }

    pub(crate) async fn create_slot(
        &self,
        session: &mut ReplicationSession,
    ) -> Result<Lsn, LinkFailure> {
        let control = self.control().await?;
        catalog::capacity::Capacity::read(&control).await?.check_free_slot()?;
        let slot = &self.source.slot;
        let failover = self.source.failover.unwrap_or(true);
        let creation = session.create_logical_slot(slot, failover);
        Ok(logging_open_transactions(&control, creation).await?)
    }

    pub(crate) async fn control(&self) -> Result<ControlSession, LinkFailure> {
        let params = connect_params(&self.source, &self.source.url)?;
        Ok(ControlSession::connect(&params).await?)
    }

    pub(crate) async fn start(&self, session: &mut ReplicationSession) -> Result<(), LinkFailure> {
        Ok(session.start(&self.source.slot, &[&self.source.publication]).await?)
    }

    /// Whether the stream may go on with what was seen.
    pub(crate) fn judge(&self, watched: &Watched) -> Result<(), Stop> {
        if watched.publication_changed {
            return Err(Stop::new(
                Code::Publication,
                format!("publication \"{}\" was changed while streaming", self.source.publication),
            )
            .detail("rows inserted meanwhile may not have reached the slot")
            .hint("check for skipped rows, then start with `--accept-publication`"));
        }
        let lost = watched.slot.as_ref().and_then(|slot| slot.lost.as_ref());
        match lost {
            Some(reason) => Err(Stop::new(
                Code::SlotLost,
                format!("slot \"{}\" was invalidated", self.source.slot),
            )
            .detail(format!("Postgres removed WAL that the slot still needed ({reason})"))
            .hint(
                "`outboxd slot repair --dry-run` shows how the gap can be closed from the table",
            )),
            None => Ok(()),
        }
    }
}

impl Watch {
    pub(crate) fn server_version(&self) -> ServerVersion {
        self.control.version()
    }

    /// The next look, or a rotation as soon as one is wanted. An error means that the session is
    /// gone.
    pub(crate) async fn next(&mut self, rotation: &Notify) -> Result<Seen, String> {
        let rotates = tokio::select! {
            biased;
            () = self.control.closed() => return Err("the control session was closed".to_owned()),
            () = tokio::time::sleep_until(self.look_at) => false,
            () = rotation.notified() => true,
        };
        if rotates {
            return Ok(Seen::Rotated(within_limit(self.rotate()).await?));
        }
        self.look_at = Instant::now() + WATCH_EVERY;
        let looked = within_limit(async { Ok(self.look().await) }).await?;
        looked.map(Seen::Watched).map_err(|error| error_chain(&error))
    }

    async fn rotate(&self) -> Result<Result<Vec<Rotated>, RotationFailure>, String> {
        match rotation::rotate(&self.control, &self.opener.tables).await {
            Err(error) if error.is_transport() => Err(error_chain(&error)),
            rotated => Ok(rotated.map_err(|error| rotation::failure(&error))),
        }
    }

    async fn look(&self) -> Result<Watched, ControlError> {
        let Watching { slot, publication, tables, fingerprint } = &*self.opener;
        let wal_end = catalog::server::wal_end(&self.control).await?;
        let slot = catalog::slot::read(&self.control, slot).await?;
        let publication = catalog::publication::read(&self.control, publication, tables).await?;
        let publication = publication.map(Publication::from);
        let found = publication.as_ref().map(|publication| &publication.fingerprint);
        let publication_changed = found != fingerprint.as_ref();
        let oldest_transaction = catalog::transactions::oldest_age(&self.control).await?;
        Ok(Watched { wal_end, slot, publication, publication_changed, oldest_transaction })
    }
}

/// A peer whose kernel answers for it never breaks a connection: only an answer shows life.
async fn within_limit<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(LOOK_WITHIN, work).await {
        Ok(done) => done,
        Err(_) => Err("the server did not answer on the control session".to_owned()),
    }
}

fn in_use(name: &str) -> Stop {
    Stop::new(Code::SlotInUse, format!("another relay named \"{name}\" is active"))
        .detail("it holds the advisory lock of this name in the database")
        .hint("leave out --no-wait to stand by for it")
}

/// Awaits the creation of a slot, and says once in a while what it waits for.
pub(crate) async fn logging_open_transactions<F: Future>(
    control: &ControlSession,
    creation: F,
) -> F::Output {
    reporting_open_transactions(control, creation, |writers| {
        let writers = catalog::transactions::describe(writers);
        tracing::info!(event = "slot.waiting", "slot creation waits for transactions: {writers}");
    })
    .await
}

const WATCH_EVERY: Duration = Duration::from_secs(5);
/// As long as a single statement may take.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

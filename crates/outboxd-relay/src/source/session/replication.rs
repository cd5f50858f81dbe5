//! The replication commands: who the server is, creating a slot, starting the stream.

use outboxd_core::gate::SystemId;
use outboxd_core::lsn::Lsn;
use postgres_protocol::message::frontend;
use tokio::time::timeout;

use super::super::error::{ProtocolError, SourceError};
use super::super::frame::{BackendFrame, Row};
use super::super::quote;
use super::{ReplicationSession, State, is_ready_after, query};

/// The answer to `IDENTIFY_SYSTEM`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    pub system_id: SystemId,
    pub timeline: u32,
    /// The server's WAL flush position.
    pub flush_lsn: Lsn,
    pub database: String,
}

/// A slot that was just created, and the name of its snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExportedSlot {
    pub consistent_point: Lsn,
    pub snapshot: String,
}

/// What becomes of the snapshot that the creation of a slot makes.
#[derive(Clone, Copy, Debug)]
enum Snapshot {
    Nothing,
    Export,
}

impl ReplicationSession {
    pub async fn identify_system(&mut self) -> Result<Identity, SourceError> {
        let rows = self.simple_query("IDENTIFY_SYSTEM").await?;
        let identity = rows.first().and_then(identity);
        Ok(identity.ok_or(ProtocolError::Answer("IDENTIFY_SYSTEM"))?)
    }

    /// Creates a pgoutput slot and returns its consistent point. The server first waits for all
    /// open writing transactions, however long that takes. `failover` counts from version 17 on.
    pub async fn create_logical_slot(
        &mut self,
        name: &str,
        failover: bool,
    ) -> Result<Lsn, SourceError> {
        let sql = create_slot_sql(name, Snapshot::Nothing, failover, self.info.version_num);
        let rows = self.patient_query(&sql).await?;
        let consistent_point = rows.first().and_then(|row| row.text(1)?.parse().ok());
        Ok(consistent_point.ok_or(ProtocolError::Answer("CREATE_REPLICATION_SLOT"))?)
    }

    /// The same with a snapshot of the database at the consistent point. It can be taken up by
    /// another session until this one runs its next command.
    pub async fn create_exporting_slot(
        &mut self,
        name: &str,
        failover: bool,
    ) -> Result<ExportedSlot, SourceError> {
        let sql = create_slot_sql(name, Snapshot::Export, failover, self.info.version_num);
        let rows = self.patient_query(&sql).await?;
        let exported = rows.first().and_then(|row| {
            let consistent_point = row.text(1)?.parse().ok()?;
            Some(ExportedSlot { consistent_point, snapshot: row.text(2)?.to_owned() })
        });
        Ok(exported.ok_or(ProtocolError::Answer("CREATE_REPLICATION_SLOT"))?)
    }

    /// Fails when the slot is active.
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), SourceError> {
        let sql = format!("DROP_REPLICATION_SLOT {}", quote::identifier(name));
        self.simple_query(&sql).await.map(drop)
    }

    /// Starts the stream where the slot stands. A position is never sent: one too far ahead would
    /// be accepted, and would spoil the slot.
    pub async fn start(&mut self, slot: &str, publications: &[&str]) -> Result<(), SourceError> {
        self.require(State::Idle, "start a stream")?;
        self.state = State::Querying;
        let after = self.patience;
        let started = timeout(after, self.try_start(&start_sql(slot, publications))).await;
        let result = started.unwrap_or(Err(SourceError::Unanswered { after }));
        match &result {
            Ok(()) => self.state = State::Streaming,
            Err(_) if is_ready_after(&result) => self.state = State::Idle,
            Err(_) => {}
        }
        result
    }

    async fn try_start(&mut self, sql: &str) -> Result<(), SourceError> {
        if self.spent {
            self.forget_copy_done().await?;
            self.spent = false;
        }
        self.start_copy(sql).await
    }

    /// A walsender keeps the mark of a CopyDone when it starts a logical stream, and ends that
    /// stream at once (known to Postgres as bug 18754). Only the start of a physical stream clears
    /// the mark. One beyond the end of the WAL is refused right after that, so nothing is
    /// streamed; it leaves an error line in the server's log.
    async fn forget_copy_done(&mut self) -> Result<(), SourceError> {
        self.framer.send(|out| frontend::query(REFUSED_PHYSICAL_START, out))?;
        loop {
            match self.framer.next().await? {
                BackendFrame::Error(error) if query::is_fatal(&error.severity) => {
                    return Err(SourceError::Server(error));
                }
                BackendFrame::ReadyForQuery => return Ok(()),
                BackendFrame::CopyBoth
                | BackendFrame::Error(_)
                | BackendFrame::Notice(_)
                | BackendFrame::ParameterStatus { .. } => {}
                _ => return Err(ProtocolError::Answer("START_REPLICATION").into()),
            }
        }
    }

    async fn start_copy(&mut self, sql: &str) -> Result<(), SourceError> {
        self.early_notices.clear();
        self.framer.send(|out| frontend::query(sql, out))?;
        let mut failed = None;
        loop {
            match self.framer.next().await? {
                BackendFrame::CopyBoth if failed.is_none() => break,
                BackendFrame::Notice(notice) if self.early_notices.len() < EARLY_NOTICES => {
                    self.early_notices.push(*notice);
                }
                BackendFrame::Notice(_) | BackendFrame::ParameterStatus { .. } => {}
                BackendFrame::Error(error) if query::is_fatal(&error.severity) => {
                    return Err(SourceError::Server(error));
                }
                BackendFrame::Error(error) => failed = Some(error),
                BackendFrame::ReadyForQuery => {
                    let unexplained = ProtocolError::Answer("START_REPLICATION");
                    return Err(failed.map_or(unexplained.into(), SourceError::Server));
                }
                _ => return Err(ProtocolError::Answer("START_REPLICATION").into()),
            }
        }
        // The last comes out first.
        self.early_notices.reverse();
        Ok(())
    }
}

fn identity(row: &Row) -> Option<Identity> {
    Some(Identity {
        system_id: SystemId(row.text(0)?.parse().ok()?),
        timeline: row.text(1)?.parse().ok()?,
        flush_lsn: row.text(2)?.parse().ok()?,
        database: row.text(3)?.to_owned(),
    })
}

/// What becomes of the snapshot is said in words that depend on the version.
fn create_slot_sql(name: &str, snapshot: Snapshot, failover: bool, version_num: u32) -> String {
    let (word, keyword) = match snapshot {
        Snapshot::Nothing => ("nothing", "NOEXPORT_SNAPSHOT"),
        Snapshot::Export => ("export", "EXPORT_SNAPSHOT"),
    };
    let options = match version_num {
        170_000.. if failover => format!("(SNAPSHOT '{word}', FAILOVER true)"),
        150_000.. => format!("(SNAPSHOT '{word}')"),
        _ => keyword.to_owned(),
    };
    format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {options}", quote::identifier(name))
}

fn start_sql(slot: &str, publications: &[&str]) -> String {
    format!(
        "START_REPLICATION SLOT {slot} LOGICAL 0/0 \
         (proto_version '1', publication_names {names}, messages 'true')",
        slot = quote::identifier(slot),
        names = quote::identifier_list(publications),
    )
}

const REFUSED_PHYSICAL_START: &str = "START_REPLICATION PHYSICAL FFFFFFFF/FFFFFFFF";
const EARLY_NOTICES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_creation_speaks_each_versions_words() {
        let sql = |failover, version| create_slot_sql("s", Snapshot::Nothing, failover, version);
        let start = "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput ";
        assert_eq!(sql(true, 140_023), format!("{start}NOEXPORT_SNAPSHOT"));
        assert_eq!(sql(true, 160_000), format!("{start}(SNAPSHOT 'nothing')"));
        assert_eq!(sql(false, 180_000), format!("{start}(SNAPSHOT 'nothing')"));
        assert_eq!(sql(true, 170_010), format!("{start}(SNAPSHOT 'nothing', FAILOVER true)"));
        let export = |version| create_slot_sql("s", Snapshot::Export, true, version);
        assert_eq!(export(140_023), format!("{start}EXPORT_SNAPSHOT"));
        assert_eq!(export(150_018), format!("{start}(SNAPSHOT 'export')"));
        assert_eq!(export(180_000), format!("{start}(SNAPSHOT 'export', FAILOVER true)"));
    }

    #[test]
    fn the_stream_starts_without_a_position() {
        assert_eq!(
            start_sql("s", &["p", "q"]),
            "START_REPLICATION SLOT \"s\" LOGICAL 0/0 \
             (proto_version '1', publication_names '\"p\",\"q\"', messages 'true')"
        );
    }
}

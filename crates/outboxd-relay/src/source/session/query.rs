//! Simple queries: the only kind a walsender answers.

use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::error::{ProtocolError, SourceError};
use super::super::frame::{BackendFrame, Row};
use super::super::framer::Framer;

/// Runs a query and returns the rows of all its statements. After an error of the server the
/// session can be used again; it is returned once the server is ready.
pub(in super::super) async fn query<S: AsyncRead + AsyncWrite + Unpin>(
    framer: &mut Framer<S>,
    sql: &str,
) -> Result<Vec<Row>, SourceError> {
    framer.send(|out| frontend::query(sql, out))?;
    let mut rows = Vec::new();
    let mut size = 0;
    let mut failed = None;
    loop {
        match framer.next().await? {
            BackendFrame::DataRow(row) => {
                size += row.size();
                if size > ANSWER_BYTES {
                    return Err(ProtocolError::AnswerTooLarge.into());
                }
                rows.push(row);
            }
            BackendFrame::ReadyForQuery => break,
            BackendFrame::Error(error) if is_fatal(&error.severity) => {
                return Err(SourceError::Server(error));
            }
            BackendFrame::Error(error) => failed = Some(error),
            BackendFrame::Notice(notice) => {
                tracing::debug!(sqlstate = notice.sqlstate, notice = notice.message, "notice");
            }
            BackendFrame::RowDescription(_)
            | BackendFrame::CommandComplete
            | BackendFrame::EmptyQuery
            | BackendFrame::ParameterStatus { .. } => {}
            _ => return Err(ProtocolError::Unexpected("answer to a query").into()),
        }
    }
    failed.map_or(Ok(rows), |error| Err(SourceError::Server(error)))
}

/// No ReadyForQuery follows.
pub(super) fn is_fatal(severity: &str) -> bool {
    matches!(severity, "FATAL" | "PANIC")
}

const ANSWER_BYTES: usize = 16 * 1024 * 1024;

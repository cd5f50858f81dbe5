//! Trying again what failed, from its row: whoever delivered it may have gone on long ago.

use std::time::SystemTime;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Transaction};
use uuid::Uuid;

use super::header_json;
use super::options::Inbox;
use super::outcome::{HandlerError, InboxError, Outcome};
use super::process::Handling;
use super::source::Source;
use crate::message::Message;

impl Inbox {
    /// Tries again what failed and whose time has come, oldest time first, of each key only the
    /// first; gives back what came of each message. At most `limit`, so that the caller can end.
    /// Several processes may do so at once.
    pub async fn retry_due<S, R, E, H>(
        &self,
        source: S,
        limit: u32,
        mut handler: H,
    ) -> Result<Vec<(Message, Outcome<R>)>, InboxError>
    where
        S: Source,
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let mut client = source.hold().await?;
        let due = self.due(&client, limit).await?;
        let mut outcomes = Vec::with_capacity(due.len());
        for message in due {
            let outcome = self.process_on(&mut client, &message, &mut handler).await?;
            outcomes.push((message, outcome));
        }
        Ok(outcomes)
    }

    /// The messages that may be tried again now, as they came. Whoever takes one up hands it to
    /// [`Inbox::process`] or [`Inbox::process_leased`]: this changes nothing by itself.
    pub async fn due(&self, client: &Client, limit: u32) -> Result<Vec<Message>, InboxError> {
        let rows = client
            .query_typed(
                &self.statements.due,
                &[
                    (&self.consumer, Type::TEXT),
                    (&self.order_by_key, Type::BOOL),
                    (&i64::from(limit), Type::INT8),
                ],
            )
            .await?;
        rows.iter().map(message_of).collect()
    }

    /// The words of the error by which a message failed last.
    pub async fn last_error(
        &self,
        client: &Client,
        message: &Message,
    ) -> Result<Option<String>, InboxError> {
        let id = self.identify(message)?;
        let row = client
            .query_typed_opt(
                &self.statements.last_error,
                &[(&self.consumer, Type::TEXT), (&id, Type::UUID)],
            )
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
    }
}

fn message_of(row: &Row) -> Result<Message, InboxError> {
    let id: Uuid = row.try_get("message_id")?;
    let headers: serde_json::Value = row.try_get("headers")?;
    Ok(Message {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        key: row.try_get("key")?,
        value: row.try_get("payload")?,
        headers: header_json::from_json(&headers).ok_or(InboxError::Unreadable(id))?,
        timestamp_ms: row.try_get::<_, Option<SystemTime>>("created_at")?.and_then(millis_of),
    })
}

fn millis_of(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis()).ok()
}

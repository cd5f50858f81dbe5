//! What an operator sees of the dead letters, and asks the relay to do with them.
//!
//! Asking is a change of a row's state and a NOTIFY; the active relay does the rest, in the order
//! of each key. Nothing is lost when none is running: the next one finds the rows.

use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::CHANNEL;
use crate::control::{ControlError, ControlSession};

/// The dead letters of one relay.
#[derive(Debug)]
pub struct Operator<'a> {
    pub session: &'a ControlSession,
    /// `source.name`.
    pub relay: &'a str,
    /// Who asks, for the record.
    pub by: &'a str,
}

/// Which rows. Empty: all of them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub ids: Vec<i64>,
    pub topic: Option<String>,
    pub key: Option<Vec<u8>>,
    pub state: Option<String>,
}

/// One row, without its value.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    pub id: i64,
    pub position: String,
    pub state: String,
    pub kind: String,
    pub event_id: Option<String>,
    pub topic: Option<String>,
    /// As text; what is none is replaced.
    pub key: Option<String>,
    pub error: Option<String>,
    pub parked_behind: Option<i64>,
    pub attempts: i32,
    /// It can be published from its row alone.
    pub complete: bool,
    /// `None` also where this role may not read the value.
    pub value_bytes: Option<i64>,
    /// Null where this role may not read them.
    pub headers: serde_json::Value,
    pub first_failed_at: String,
    pub last_failed_at: Option<String>,
    pub resolved_at: Option<String>,
    pub resolved_by: Option<String>,
    pub note: Option<String>,
}

/// What of one relay is not done with.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Parked {
    pub events: i64,
    /// Those of them that are at fault.
    pub dead: i64,
    pub keys: i64,
}

impl Parked {
    /// `None`: there is no table, or this role may not read it.
    pub async fn read(session: &ControlSession, relay: &str) -> Result<Option<Self>, ControlError> {
        let readable: bool = session.row(READABLE, &[]).await?.try_get(0)?;
        if !readable {
            return Ok(None);
        }
        let row = session.row(PARKED, &[(&relay, Type::TEXT)]).await?;
        let (events, dead) = (row.try_get("events")?, row.try_get("dead")?);
        Ok(Some(Self { events, dead, keys: row.try_get("keys")? }))
    }
}

impl Letter {
    /// Its key still waits for it.
    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none() && matches!(self.state.as_str(), "dead" | "parked" | "retrying")
    }
}

impl Operator<'_> {
    /// In the order of the stream.
    pub async fn list(
        &self,
        selection: &Selection,
        limit: i64,
    ) -> Result<Vec<Letter>, ControlError> {
        let contents = self.contents().await?;
        let sql =
            format!("select {COLUMNS}, {contents} from outbox.dead_letters {WHERE} {LIST_ORDER}");
        let Selection { ids, topic, key, state } = selection;
        let rows = self
            .session
            .rows(
                &sql,
                &[
                    (&self.relay, Type::TEXT),
                    (ids, Type::INT8_ARRAY),
                    (topic, Type::TEXT),
                    (key, Type::BYTEA),
                    (state, Type::TEXT),
                    (&limit, Type::INT8),
                ],
            )
            .await?;
        rows.iter().map(letter).collect()
    }

    /// What of the event itself this role may see: an operator need not be let in on it.
    async fn contents(&self) -> Result<String, ControlError> {
        let row = self.session.row(MAY_READ, &[]).await?;
        let or_null = |readable: bool, sql: &str, null: &str| {
            if readable { sql.to_owned() } else { null.to_owned() }
        };
        let size = or_null(row.try_get("value")?, "length(value)::int8", "null::int8");
        let headers = or_null(row.try_get("headers")?, "headers::text", "null::text");
        Ok(format!("{size} as value_bytes, {headers} as headers"))
    }

    /// The value as it would be sent.
    pub async fn value(&self, id: i64) -> Result<Option<Vec<u8>>, ControlError> {
        let parameters = [(&self.relay as _, Type::TEXT), (&id as _, Type::INT8)];
        Ok(self.session.row(VALUE, &parameters).await?.try_get(0)?)
    }

    /// Has dead rows published again; what waits behind them follows. Gives their ids.
    pub async fn retry(
        &self,
        selection: &Selection,
        note: Option<&str>,
    ) -> Result<Vec<i64>, ControlError> {
        self.ask("retrying", "state = 'dead' and complete", selection, note).await
    }

    /// Gives rows up. What waits behind them is published. Gives their ids.
    pub async fn discard(
        &self,
        selection: &Selection,
        note: Option<&str>,
    ) -> Result<Vec<i64>, ControlError> {
        self.ask("discarded", "state in ('dead', 'parked', 'retrying')", selection, note).await
    }

    async fn ask(
        &self,
        state: &str,
        eligible: &str,
        selection: &Selection,
        note: Option<&str>,
    ) -> Result<Vec<i64>, ControlError> {
        let sql = format!(
            "update outbox.dead_letters
                set state = '{state}', resolved_by = $6, note = coalesce($7, note)
              {WHERE} and resolved_at is null and {eligible}
             returning id"
        );
        let Selection { ids, topic, key, state } = selection;
        let parameters = [
            (&self.relay as _, Type::TEXT),
            (ids as _, Type::INT8_ARRAY),
            (topic as _, Type::TEXT),
            (key as _, Type::BYTEA),
            (state as _, Type::TEXT),
            (&self.by as _, Type::TEXT),
            (&note as _, Type::TEXT),
        ];
        let rows = self.session.rows(&sql, &parameters).await?;
        let notify = [(&CHANNEL as _, Type::TEXT), (&self.relay as _, Type::TEXT)];
        self.session.rows("select pg_notify($1, $2)", &notify).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn letter(row: &Row) -> Result<Letter, ControlError> {
    let key: Option<&[u8]> = row.try_get("key")?;
    let headers: Option<&str> = row.try_get("headers")?;
    Ok(Letter {
        id: row.try_get("id")?,
        position: row.try_get("position")?,
        state: row.try_get("state")?,
        kind: row.try_get("kind")?,
        event_id: row.try_get("event_id")?,
        topic: row.try_get("topic")?,
        key: key.map(|key| String::from_utf8_lossy(key).into_owned()),
        error: row.try_get("error_message")?,
        parked_behind: row.try_get("parked_behind")?,
        attempts: row.try_get("attempts")?,
        complete: row.try_get("complete")?,
        value_bytes: row.try_get("value_bytes")?,
        headers: headers.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        first_failed_at: row.try_get("first_failed_at")?,
        last_failed_at: row.try_get("last_failed_at")?,
        resolved_at: row.try_get("resolved_at")?,
        resolved_by: row.try_get("resolved_by")?,
        note: row.try_get("note")?,
    })
}

const READABLE: &str = "
    select case when to_regclass('outbox.dead_letters') is null then false
                else has_schema_privilege('outbox', 'usage')
                     and (select bool_and(has_column_privilege('outbox.dead_letters', it, 'select'))
                            from unnest(array['relay', 'state', 'key', 'resolved_at']) it) end";

const MAY_READ: &str = "
    select has_column_privilege('outbox.dead_letters', 'value', 'select') as value,
           has_column_privilege('outbox.dead_letters', 'headers', 'select') as headers";

const PARKED: &str = "
    select count(*) as events, count(*) filter (where state = 'dead') as dead,
           count(distinct key) as keys
      from outbox.dead_letters where relay = $1 and resolved_at is null";

const COLUMNS: &str = "
    id, position, state, kind, event_id, topic, key, error_message, parked_behind, attempts,
    complete, to_json(first_failed_at) #>> '{}' as first_failed_at,
    to_json(last_failed_at) #>> '{}' as last_failed_at,
    to_json(resolved_at) #>> '{}' as resolved_at, resolved_by, note";

const WHERE: &str = "
    where relay = $1 and ($2 = '{}' or id = any ($2)) and ($3 is null or topic = $3)
      and ($4 is null or key = $4) and ($5 is null or state = $5)";

const LIST_ORDER: &str = "order by position limit $6";

const VALUE: &str = "select value from outbox.dead_letters where relay = $1 and id = $2";

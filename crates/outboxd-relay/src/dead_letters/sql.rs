//! The dead-letter table, statement by statement.
//!
//! Every statement that changes a row on behalf of the relay checks in the same breath that it is
//! still the one that took over last.

use std::collections::HashSet;

use outboxd_core::headers::Sequence;
use outboxd_core::parking::{Parcel, ParkedRow, Reason};
use outboxd_core::relay::{Replay, Replayed};
use outboxd_core::stop::{Code, Stop};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::control::{ControlError, ControlSession, Parameter};

/// A relay, and which of its take-overs.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) acquisition: i64,
}

/// Topic and key of a row that is done with.
pub type Resolved = (Option<String>, Option<Vec<u8>>);

impl Owner {
    fn parameters(&self) -> [Parameter<'_>; 2] {
        [(&self.name, Type::TEXT), (&self.acquisition, Type::INT8)]
    }

    /// From here on no other relay of this name writes.
    pub(crate) async fn take_over(&self, session: &ControlSession) -> Result<(), ControlError> {
        session.rows(TAKE_OVER, &self.parameters()).await.map(drop)
    }

    /// Unresolved rows, and those at or past a position, whichever their epoch.
    pub(crate) async fn load(
        &self,
        session: &ControlSession,
        from: Sequence,
    ) -> Result<Vec<ParkedRow>, ControlError> {
        let from = from.to_string();
        let parameters = [(&self.name as _, Type::TEXT), (&from as _, Type::TEXT)];
        session.rows(LOAD, &parameters).await?.iter().map(parked_row).collect()
    }

    /// The ids of events that are not to be published again: they wait here for what is decided
    /// about them, or were given up.
    pub(crate) async fn withheld(
        &self,
        session: &ControlSession,
    ) -> Result<HashSet<String>, ControlError> {
        let rows = session.rows(WITHHELD, &[(&self.name, Type::TEXT)]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Commits the rows of these parcels. One that is there already stays as it is.
    pub(crate) async fn park(
        &self,
        session: &ControlSession,
        parcels: &[Parcel],
    ) -> Result<(), ControlError> {
        session.run("begin").await?;
        for parcel in parcels {
            self.insert(session, parcel).await?;
        }
        session.run("commit").await
    }

    async fn insert(&self, session: &ControlSession, parcel: &Parcel) -> Result<(), ControlError> {
        let position = parcel.sequence.to_string();
        let headers = headers_to_json(&parcel.headers);
        let (state, error) = match &parcel.reason {
            Reason::Refused(error) => ("dead", Some(error)),
            Reason::Behind => ("parked", None),
            Reason::Skipped(error) => ("discarded", Some(error)),
        };
        let code = error.map(|error| error.kind.as_str());
        let message = error.map(|error| error.message.as_str());
        let rows = session
            .rows(
                INSERT,
                &[
                    (&self.name, Type::TEXT),
                    (&self.acquisition, Type::INT8),
                    (&position, Type::TEXT),
                    (&parcel.event_id, Type::TEXT),
                    (&parcel.topic, Type::TEXT),
                    (&parcel.key, Type::BYTEA),
                    (&parcel.partition_key, Type::BYTEA),
                    (&parcel.value, Type::BYTEA),
                    (&headers, Type::TEXT),
                    (&parcel.timestamp_ms, Type::INT8),
                    (&parcel.is_complete, Type::BOOL),
                    (&code, Type::TEXT),
                    (&message, Type::TEXT),
                    (&state, Type::TEXT),
                ],
            )
            .await?;
        match rows.first().map(|row| row.try_get::<_, bool>("same")).transpose()? {
            Some(true) => Ok(()),
            Some(false) => Err(other_event(&position).into()),
            None => Err(ControlError::overtaken()),
        }
    }

    /// Does what operators have asked for beside publishing. Gives what is done with.
    pub(super) async fn resolve_discarded(
        &self,
        session: &ControlSession,
    ) -> Result<Vec<Resolved>, ControlError> {
        let rows = session.rows(RESOLVE_DISCARDED, &self.parameters()).await?;
        rows.iter().map(resolved).collect()
    }

    /// The next row that may be published: the first of its key that is not done with, when an
    /// operator has asked for it or what it waited for is gone.
    pub(super) async fn next_replay(
        &self,
        session: &ControlSession,
    ) -> Result<Option<Replay>, ControlError> {
        let rows = session.rows(NEXT_REPLAY, &[(&self.name, Type::TEXT)]).await?;
        rows.first().map(replay).transpose()
    }

    /// Records what became of it. Gives the row's topic and key when it is done with.
    pub(super) async fn record(
        &self,
        session: &ControlSession,
        id: i64,
        outcome: &Replayed,
    ) -> Result<Option<Resolved>, ControlError> {
        let [name, acquisition] = self.parameters();
        let rows = match outcome {
            Replayed::Later => return Ok(None),
            Replayed::Published => {
                session.rows(PUBLISHED, &[name, acquisition, (&id, Type::INT8)]).await?
            }
            Replayed::Refused(error) => {
                let code = error.kind.as_str();
                let parameters = [
                    name,
                    acquisition,
                    (&id as _, Type::INT8),
                    (&code as _, Type::TEXT),
                    (&error.message as _, Type::TEXT),
                ];
                session.rows(REFUSED, &parameters).await?;
                return Ok(None);
            }
        };
        rows.first().map(resolved).transpose()
    }
}

fn parked_row(row: &Row) -> Result<ParkedRow, ControlError> {
    Ok(ParkedRow {
        sequence: sequence(row.try_get("position")?)?,
        topic: row.try_get("topic")?,
        key: row.try_get("key")?,
        is_unresolved: row.try_get("unresolved")?,
    })
}

fn resolved(row: &Row) -> Result<Resolved, ControlError> {
    Ok((row.try_get("topic")?, row.try_get("key")?))
}

fn replay(row: &Row) -> Result<Replay, ControlError> {
    let headers: &str = row.try_get("headers")?;
    let id = row.try_get("id")?;
    Ok(Replay {
        id,
        event_id: row.try_get("event_id")?,
        topic: row.try_get("topic")?,
        partition_key: row.try_get("partition_key")?,
        key: row.try_get("key")?,
        value: row.try_get("value")?,
        headers: headers_from_json(headers).ok_or_else(|| unreadable(&format!("row {id}")))?,
        timestamp_ms: row.try_get("timestamp_ms")?,
    })
}

fn sequence(text: &str) -> Result<Sequence, ControlError> {
    text.parse().map_err(|_| unreadable(&format!("position {text:?}")).into())
}

fn headers_to_json(headers: &[(String, Vec<u8>)]) -> String {
    let pair = |(name, value): &(String, Vec<u8>)| {
        Value::from(vec![name.clone(), String::from_utf8_lossy(value).into_owned()])
    };
    Value::Array(headers.iter().map(pair).collect()).to_string()
}

fn headers_from_json(text: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let pairs: Vec<(String, String)> = serde_json::from_str(text).ok()?;
    Some(pairs.into_iter().map(|(name, value)| (name, value.into_bytes())).collect())
}

fn unreadable(what: &str) -> Stop {
    Stop::new(Code::Internal, "a row of outbox.dead_letters cannot be read").detail(what)
}

fn other_event(position: &str) -> Stop {
    Stop::new(Code::Diverged, "another event is parked at the same position")
        .detail(format!("outbox.dead_letters has a row with position {position} and another id"))
        .hint("the database was restored or replaced; choose a new `source.name`")
}

const TAKE_OVER: &str = "
    insert into outbox.relays (name, acquisition) values ($1, $2)
    on conflict (name) do update set acquisition = excluded.acquisition";

const WITHHELD: &str = "
    select distinct event_id from outbox.dead_letters
     where relay = $1 and event_id is not null and (resolved_at is null or state = 'discarded')";

const LOAD: &str = "
    select position, topic, key, resolved_at is null as unresolved
      from outbox.dead_letters
     where relay = $1 and (resolved_at is null or substr(position, 6) >= substr($2, 6))";

const INSERT: &str = "
    with owner as (
        select from outbox.relays where name = $1 and acquisition = $2 for key share
    )
    insert into outbox.dead_letters as d
           (relay, position, event_id, topic, key, partition_key, value, headers, created_at,
            complete, kind, error_code, error_message, fingerprint, parked_behind, state,
            last_failed_at, resolved_at, resolved_by)
    select $1, $3, $4, $5, $6, $7, $8, $9::jsonb, to_timestamp($10::float8 / 1000),
           $11, coalesce($12, 'behind'), $12, $13, $12 || ':' || coalesce($5, ''),
           case when $14 = 'parked' then
               (select head.id from outbox.dead_letters head
                 where head.relay = $1 and head.key = $6 and head.resolved_at is null
                   and (head.topic = $5 or head.topic is null)
                 order by head.position limit 1)
           end,
           $14, case when $12 is not null then now() end,
           case when $14 = 'discarded' then now() end,
           case when $14 = 'discarded' then 'errors.on_record_error' end
      from owner
    on conflict (relay, position) do update set position = excluded.position
    returning d.event_id is not distinct from $4 as same";

const RESOLVE_DISCARDED: &str = "
    update outbox.dead_letters
       set resolved_at = now()
     where relay = $1 and state = 'discarded' and resolved_at is null
       and exists (select from outbox.relays where name = $1 and acquisition = $2)
    returning topic, key";

const NEXT_REPLAY: &str = "
    select id, event_id, topic, partition_key, key, value, headers::text as headers,
           (extract(epoch from created_at) * 1000)::int8 as timestamp_ms
      from outbox.dead_letters d
     where relay = $1 and resolved_at is null and complete and state in ('retrying', 'parked')
       and not exists (
           select from outbox.dead_letters earlier
            where earlier.relay = d.relay and earlier.key = d.key and earlier.resolved_at is null
              and (earlier.topic = d.topic or earlier.topic is null)
              and earlier.position < d.position)
     order by position limit 1";

const PUBLISHED: &str = "
    update outbox.dead_letters
       set state = 'published', attempts = attempts + 1, resolved_at = now()
     where id = $3 and resolved_at is null
       and exists (select from outbox.relays where name = $1 and acquisition = $2)
    returning topic, key";

const REFUSED: &str = "
    update outbox.dead_letters
       set state = 'dead', attempts = attempts + 1, last_failed_at = now(), kind = $4,
           error_code = $4, error_message = $5, fingerprint = $4 || ':' || coalesce(topic, '')
     where id = $3 and resolved_at is null
       and exists (select from outbox.relays where name = $1 and acquisition = $2)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_doubles() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers = vec![pair("b", "1"), pair("a", "é\""), pair("b", "")];
        assert_eq!(headers_from_json(&headers_to_json(&headers)), Some(headers));
        assert_eq!(headers_from_json("{}"), None);
    }
}

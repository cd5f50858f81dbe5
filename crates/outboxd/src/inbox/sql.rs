//! The statements of [`super::Operator`]. They name the columns that `outbox_operator` may read.

/// What is not completed.
pub(super) fn list() -> String {
    format!(
        "select {COLUMNS} from inbox.messages {WHERE} \
         order by first_seen_at, consumer, message_id limit $5"
    )
}

pub(super) fn show() -> String {
    format!(
        "select {COLUMNS} from inbox.messages \
         where message_id = $2::text::uuid and ($1 is null or consumer = $1) order by consumer"
    )
}

pub(super) fn retry() -> String {
    format!(
        "update inbox.messages set state = 'FAILED', attempts = 0, next_attempt_at = now(), \
                resolved_by = $5 {WHERE} and state in ('FAILED', 'DEAD') returning {COLUMNS}"
    )
}

pub(super) fn discard() -> String {
    format!(
        "update inbox.messages set state = 'COMPLETED', next_attempt_at = null, \
                completed_at = now(), resolved_by = $5 \
         {WHERE} and state in ('FAILED', 'DEAD') returning {COLUMNS}"
    )
}

pub(super) const CONTENT: &str = "
    select key, headers::text as headers, payload
      from inbox.messages where consumer = $1 and message_id = $2::text::uuid";

pub(super) const STATS: &str = "
    select consumer, count(*) filter (where state = 'COMPLETED') as completed,
           count(*) filter (where state = 'PROCESSING') as processing,
           count(*) filter (where state = 'FAILED') as failed,
           count(*) filter (where state = 'DEAD') as dead,
           count(*) filter (where state = 'FAILED' and next_attempt_at <= now()) as due,
           to_json(min(first_seen_at) filter (where state in ('FAILED', 'DEAD'))) #>> '{}' as oldest_failed_at,
           to_json(min(next_attempt_at) filter (where state = 'FAILED')) #>> '{}' as next_attempt_at
      from inbox.messages where $1 is null or consumer = $1
     group by consumer order by consumer";

pub(super) const PURGE: &str = "select * from inbox.purge(make_interval(secs => $1))";

pub(super) const PURGE_UNRESOLVED: &str =
    "select * from inbox.purge_unresolved(make_interval(secs => $1))";

const WHERE: &str = "
    where state <> 'COMPLETED' and ($1 is null or consumer = $1)
      and ($2 = '{}' or message_id = any ($2::uuid[]))
      and ($3 is null or topic = $3) and ($4 is null or state = $4)";

const COLUMNS: &str = r#"
    consumer, message_id::text as message_id, state, attempts,
    to_json(next_attempt_at) #>> '{}' as next_attempt_at, topic, partition, "offset", last_error,
    to_json(first_seen_at) #>> '{}' as first_seen_at,
    to_json(completed_at) #>> '{}' as completed_at, resolved_by"#;

//! The SQL of the inbox, for the schema that it is in.

#[derive(Debug)]
pub(crate) struct Statements {
    /// Parameters: consumer, id, topic, partition, offset.
    pub(crate) insert_completed: String,
    /// Parameters: consumer, topic, partition, sequence.
    pub(crate) advance_watermark: String,
    /// Parameters: consumer, id, topic, key.
    pub(crate) is_behind: String,
    /// Parameters: consumer, id.
    pub(crate) look_up: String,
    /// Parameters: consumer, id, attempts.
    pub(crate) complete: String,
    /// Parameters: consumer, id, state before, attempts.
    pub(crate) complete_begun: String,
    /// Parameters: consumer, id, state, attempts, delay in seconds, topic, partition, offset, error,
    /// payload, headers, key, record timestamp, whether it goes over whatever is there.
    pub(crate) write: String,
    /// Parameters: consumer, whether keys are in order, how many.
    pub(crate) due: String,
    /// Parameters: consumer, id.
    pub(crate) last_error: String,
    /// Parameters: days.
    pub(crate) maintain: String,
    /// Parameters: seconds.
    pub(crate) purge: String,
}

impl Statements {
    pub(crate) fn new(schema: &str) -> Self {
        let schema = format!("\"{}\"", schema.replace('"', "\"\""));
        let of = |text: &str| text.replace("inbox.", &format!("{schema}."));
        Self {
            insert_completed: of(INSERT_COMPLETED),
            advance_watermark: of(ADVANCE_WATERMARK),
            is_behind: of(IS_BEHIND),
            look_up: of(LOOK_UP),
            complete: of(COMPLETE),
            complete_begun: of(COMPLETE_BEGUN),
            write: of(WRITE),
            due: of(DUE),
            last_error: of(LAST_ERROR),
            maintain: of("select inbox.maintain($1)"),
            purge: of(PURGE),
        }
    }
}

const INSERT_COMPLETED: &str = r#"
    insert into inbox.messages
           (consumer, message_id, state, attempts, topic, partition, "offset", completed_at)
    values ($1, $2, 'COMPLETED', 1, $3, $4, $5, now())
    on conflict do nothing"#;

const ADVANCE_WATERMARK: &str = "
    insert into inbox.watermarks as own (consumer, topic, partition, sequence)
    values ($1, $2, $3, $4)
    on conflict (consumer, topic, partition) do update
       set sequence = excluded.sequence, updated_at = now()
     where own.sequence < excluded.sequence";

/// When the first of those ahead may be tried again, and whether there is one.
const IS_BEHIND: &str = r#"
    select max(other.next_attempt_at)
      from inbox.messages other
      left join inbox.messages own on own.consumer = $1 and own.message_id = $2
     where other.consumer = $1 and other.topic = $3 and other.key = $4
       and other.state in ('PROCESSING', 'FAILED') and other.message_id <> $2
       and (own.message_id is null
            or (other.first_seen_at, other."offset", other.message_id)
             < (own.first_seen_at, own."offset", own.message_id))"#;

const LOOK_UP: &str = "
    select state, attempts, next_attempt_at,
           coalesce(next_attempt_at <= clock_timestamp(), true) as due
      from inbox.messages where consumer = $1 and message_id = $2 for update";

const COMPLETE: &str = "
    update inbox.messages
       set state = 'COMPLETED', attempts = $3, completed_at = now(), next_attempt_at = null,
           payload = null, headers = null, key = null, created_at = null
     where consumer = $1 and message_id = $2";

const COMPLETE_BEGUN: &str = "
    update inbox.messages
       set state = 'COMPLETED', completed_at = now(), next_attempt_at = null,
           payload = null, headers = null, key = null, created_at = null
     where consumer = $1 and message_id = $2 and state = $3 and attempts = $4";

const WRITE: &str = r#"
    insert into inbox.messages as own
           (consumer, message_id, state, attempts, next_attempt_at, topic, partition, "offset",
            last_error, payload, headers, key, created_at)
    values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), $6, $7, $8,
            $9, $10, $11, $12, $13)
    on conflict (consumer, message_id) do update
       set state = excluded.state, attempts = excluded.attempts, completed_at = null,
           next_attempt_at = excluded.next_attempt_at,
           last_error = coalesce(excluded.last_error, own.last_error),
           payload = excluded.payload, headers = excluded.headers, key = excluded.key,
           created_at = excluded.created_at
     where $14 or (own.state in ('PROCESSING', 'FAILED') and own.attempts <= excluded.attempts)
    returning next_attempt_at"#;

const DUE: &str = r#"
    select message_id, topic, partition, "offset", payload, headers, key, created_at
      from inbox.messages own
     where consumer = $1 and state in ('PROCESSING', 'FAILED')
       and next_attempt_at <= clock_timestamp()
       and not ($2 and key is not null and exists (
           select from inbox.messages other
            where other.consumer = $1 and other.topic = own.topic and other.key = own.key
              and other.state in ('PROCESSING', 'FAILED')
              and (other.first_seen_at, other."offset", other.message_id)
                < (own.first_seen_at, own."offset", own.message_id)))
     order by next_attempt_at
     limit $3
       for update skip locked"#;

const LAST_ERROR: &str = "
    select last_error from inbox.messages where consumer = $1 and message_id = $2";

const PURGE: &str = "
    select leaves_emptied, leaves_dropped, rows_deleted
      from inbox.purge(make_interval(secs => $1))";

//! The outbox: its options, and what is appended to it.

use outboxd_core::headers::{HeaderChoice, HeaderRules};
use outboxd_core::relation::{ColumnNames, TableName};
use outboxd_core::route::{Router, TopicRules};

use super::error::{AppendError, OutboxConfigError};
use super::id::EventId;
use super::payload::PayloadType;
use super::row::{Row, Rules};
use super::table::{Insert, KeyType};
use super::transaction::OutboxTransaction;
use super::typed::IntoEvent;

/// A table that events are appended to. Made once, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    table: TableName,
    columns: ColumnNames,
    rules: Rules,
    pub(super) insert: Insert,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// The table `outbox.events` as `outboxd setup` and `outboxd migrate` make it.
    pub fn new() -> Self {
        let table = TableName::new("outbox", "events");
        let columns = ColumnNames::default();
        let rules = Rules {
            router: Router::new(TopicRules::default()).expect("the default template is sound"),
            headers: HeaderRules::new(HeaderChoice::default(), &columns),
            payload: PayloadType::default(),
            key: KeyType::default(),
            size_limit: SIZE_LIMIT,
        };
        let insert = Insert::new(&table, &columns, rules.payload, rules.key);
        Self { table, columns, rules, insert }
    }

    /// Another table, as `schema.table`, spelt as in the catalog.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn table(self, name: &str) -> Result<Self, OutboxConfigError> {
        let table = name.parse()?;
        Ok(Self { table, ..self }.prepared())
    }

    /// Columns with other names, or that are there beside the usual ones: as `[columns]` of the
    /// relay's configuration. A table without headers, such as one of Debezium's, has `headers:
    /// OptionalColumn::Off`. `created_at` and further columns get the table's defaults.
    #[must_use]
    pub fn columns(mut self, columns: ColumnNames) -> Self {
        self.rules.headers = HeaderRules::new(HeaderChoice::default(), &columns);
        Self { columns, ..self }.prepared()
    }

    /// How the relay chooses topics: as `[topic]` of its configuration. Events that would go to a
    /// topic that cannot exist, or is not allowed, are refused.
    ///
    /// # Errors
    /// When the rules cannot work.
    pub fn topics(mut self, rules: TopicRules) -> Result<Self, OutboxConfigError> {
        self.rules.router = Router::new(rules)?;
        Ok(self)
    }

    /// The type of the payload column.
    #[must_use]
    pub fn payload_type(mut self, payload: PayloadType) -> Self {
        self.rules.payload = payload;
        self.prepared()
    }

    /// The type of the column of the aggregate id.
    #[must_use]
    pub fn key_type(mut self, key: KeyType) -> Self {
        self.rules.key = key;
        self.prepared()
    }

    /// The largest record, in bytes: key, payload as Postgres prints it, headers, and what Kafka
    /// adds, before compression. 900 KiB unless told, which is below the 1 MiB that brokers take by
    /// default. A higher limit is of use only where `max.message.bytes` of the topic is higher too.
    #[must_use]
    pub fn size_limit(mut self, bytes: usize) -> Self {
        self.rules.size_limit = bytes;
        self
    }

    /// Appends an event in the transaction of the change that it tells of. One round trip.
    ///
    /// The event is published when, and only when, the transaction commits.
    ///
    /// # Errors
    /// Whatever the relay or Kafka would refuse, and what the database refuses. **Every error aborts
    /// the transaction**, by design: pass it on and let the transaction roll back. What was done since
    /// a savepoint can be rolled back to it, and the event with it.
    pub async fn append<T: OutboxTransaction>(
        &self,
        transaction: &mut T,
        event: impl IntoEvent,
    ) -> Result<EventId, AppendError> {
        let row = match self.row(event) {
            Ok(row) => row,
            Err(refused) => {
                transaction.abort().await;
                return Err(refused);
            }
        };
        transaction.insert(&self.insert, &row).await?;
        Ok(row.id)
    }

    /// Appends events, in this order: all, or none. One round trip for every 64 MiB. No events are
    /// no round trip.
    ///
    /// # Errors
    /// As [`append`](Self::append): that of the first event that is refused, of which none is written.
    pub async fn append_all<T: OutboxTransaction, E: IntoEvent>(
        &self,
        transaction: &mut T,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<EventId>, AppendError> {
        let rows = match self.rows(events) {
            Ok(rows) => rows,
            Err(refused) => {
                transaction.abort().await;
                return Err(refused);
            }
        };
        for rows in statements(&rows) {
            transaction.insert_all(&self.insert, rows).await?;
        }
        Ok(rows.iter().map(|row| row.id).collect())
    }

    #[cfg(feature = "testing")]
    pub(crate) fn insert(&self) -> &Insert {
        &self.insert
    }

    pub(super) fn row(&self, event: impl IntoEvent) -> Result<Row, AppendError> {
        #[cfg_attr(not(feature = "trace-context"), expect(unused_mut, reason = "one feature does"))]
        let mut event = event.into_event()?;
        #[cfg(feature = "trace-context")]
        super::trace::add_context(&self.insert, &mut event);
        self.rules.row(&self.insert.parts, event)
    }

    pub(super) fn rows<E: IntoEvent>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Row>, AppendError> {
        events.into_iter().map(|event| self.row(event)).collect()
    }

    /// With the statements for what was set.
    fn prepared(mut self) -> Self {
        self.insert = Insert::new(&self.table, &self.columns, self.rules.payload, self.rules.key);
        self
    }
}

/// The rows of each statement: Postgres takes messages of up to 1 GiB, and all of one is in memory.
pub(super) fn statements(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|row| {
            bytes += row.size;
            bytes <= STATEMENT_BYTES_MAX
        });
        let count = fits.count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

const SIZE_LIMIT: usize = 900 * 1024;
const STATEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;

//! The rows of the outbox tables, in the text in which the stream would have sent them.

use outboxd_core::pgoutput::{Column, Relation, RelationId};
use outboxd_core::relation::{ColumnNames, Field, Layout, TableName};
use outboxd_core::stop::Stop;
use tokio_postgres::types::Type;

use crate::catalog::table::{self, Kind};
use crate::control::{ControlError, ControlSession};
use crate::setup::sql;

/// An outbox table, as the publication shows it.
#[derive(Clone, Debug)]
pub(super) struct StoredTable {
    pub(super) name: TableName,
    pub(super) relation: RelationId,
    columns: Vec<table::Column>,
    is_partitioned: bool,
    created_at: Option<String>,
    /// Rows that do not pass are not published.
    filter: Option<String>,
}

/// Reads what the catalog says of the configured tables, which are known to be there.
pub(super) async fn stored_tables(
    control: &ControlSession,
    names: &[TableName],
    columns: &ColumnNames,
    publication: &str,
) -> Result<Vec<StoredTable>, Stop> {
    let mut tables = Vec::new();
    for (index, configured) in
        table::read(control, names, publication).await?.into_iter().enumerate()
    {
        let Some(found) = configured.found else { continue };
        let pairs = found.columns.iter().map(|column| (column.name.as_str(), column.type_oid));
        let layout = Layout::resolve(&configured.name, pairs, columns)
            .map_err(|error| Stop::from(&error))?;
        let created_at = layout.position(Field::CreatedAt);
        tables.push(StoredTable {
            relation: RelationId(u32::try_from(index).unwrap_or(u32::MAX)),
            filter: row_filter(control, publication, &configured.name).await?,
            name: configured.name,
            created_at: created_at.map(|position| found.columns[position].name.clone()),
            is_partitioned: found.kind == Kind::Partitioned,
            columns: found.columns,
        });
    }
    Ok(tables)
}

/// Makes the session print as a replication session does, in one unchanging view of the database:
/// that of an exported snapshot, or the present one.
pub(super) async fn hold_view(
    control: &ControlSession,
    snapshot: Option<&str>,
) -> Result<(), ControlError> {
    control.execute(SETTINGS).await?;
    if control.version().major() >= 17 {
        control.execute("set transaction_timeout = 0").await?;
    }
    control.execute("begin isolation level repeatable read, read only").await?;
    match snapshot {
        Some(name) => {
            control.execute(&format!("set transaction snapshot {}", sql::literal(name))).await
        }
        None => Ok(()),
    }
}

impl StoredTable {
    /// Whether rows can be told apart by time.
    pub(super) fn is_timed(&self) -> bool {
        self.created_at.is_some()
    }

    /// The announcement that the stream would have begun with.
    pub(super) fn announcement(&self) -> Relation<'_> {
        let columns = self.columns.iter().map(|column| Column {
            is_key: false,
            name: &column.name,
            type_oid: column.type_oid,
            type_modifier: -1,
        });
        Relation {
            id: self.relation,
            namespace: &self.name.schema,
            name: &self.name.table,
            replica_identity: b'd',
            columns: columns.collect(),
        }
    }

    /// Rows of one transaction have the same `created_at`: the order of its inserts tells them
    /// apart. The order in which transactions committed is not known from a table.
    pub(super) fn select(&self, since_ms: Option<i64>) -> String {
        let columns: Vec<_> =
            self.columns.iter().map(|column| sql::identifier(&column.name)).collect();
        let only = if self.is_partitioned { "" } else { "only " };
        let mut select =
            format!("select {} from {only}{}", columns.join(", "), sql::table(&self.name));
        let created_at = self.created_at.as_deref().map(sql::identifier);
        let filter = self.filter.as_ref().map(|filter| format!("({filter})"));
        let young = created_at.as_ref().zip(since_ms).map(|(column, since_ms)| {
            // Without a time it may be any.
            format!("({column} >= {} or {column} is null)", moment(since_ms))
        });
        let conditions: Vec<_> = filter.into_iter().chain(young).collect();
        if !conditions.is_empty() {
            select.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        let order = created_at.into_iter().chain([INSERTION_ORDER.to_owned()]);
        select.push_str(&format!(" order by {}", order.collect::<Vec<_>>().join(", ")));
        select
    }
}

/// A row as the stream carries it.
pub(super) fn encode<'r>(
    cells: impl ExactSizeIterator<Item = Option<&'r str>>,
    tuple: &mut Vec<u8>,
) {
    tuple.clear();
    let columns = u16::try_from(cells.len()).expect("a table has at most 1,600 columns");
    tuple.extend_from_slice(&columns.to_be_bytes());
    for cell in cells {
        let Some(text) = cell else {
            tuple.push(b'n');
            continue;
        };
        tuple.push(b't');
        let length = i32::try_from(text.len()).expect("a value has at most 1 GiB");
        tuple.extend_from_slice(&length.to_be_bytes());
        tuple.extend_from_slice(text.as_bytes());
    }
}

async fn row_filter(
    control: &ControlSession,
    publication: &str,
    name: &TableName,
) -> Result<Option<String>, ControlError> {
    if control.version().major() < 15 {
        return Ok(None);
    }
    let parameters = [
        (&publication as _, Type::TEXT),
        (&name.schema as _, Type::TEXT),
        (&name.table as _, Type::TEXT),
    ];
    let rows = control.rows(ROW_FILTER, &parameters).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.flatten())
}

fn moment(unix_ms: i64) -> String {
    format!("to_timestamp({}.{:03})", unix_ms.max(0) / 1000, unix_ms.max(0) % 1000)
}

/// The same as on the replication session. A long pass must not be ended by a time-out, and what a
/// row prints may depend on the search path.
const SETTINGS: &str = "
    set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
    set datestyle = 'ISO'; set timezone = 'UTC'; set bytea_output = 'hex';
    set search_path to default";

const ROW_FILTER: &str = "
    select rowfilter from pg_publication_tables
     where pubname = $1 and schemaname = $2 and tablename = $3";

const INSERTION_ORDER: &str = "age(xmin) desc, cmin::text::int8, ctid";

#[cfg(test)]
mod tests {
    use outboxd_core::pgoutput::{Cell, Tuple};

    use super::*;

    fn table() -> StoredTable {
        let column = |name: &str, type_oid| table::Column { name: name.to_owned(), type_oid };
        StoredTable {
            name: TableName::new("outbox", "events"),
            relation: RelationId(0),
            columns: vec![column("id", 2950), column("at", 1184)],
            is_partitioned: false,
            created_at: Some("at".to_owned()),
            filter: None,
        }
    }

    #[test]
    fn young_rows_are_read_in_the_order_of_their_making() {
        assert_eq!(
            table().select(Some(1_700_000_000_042)),
            "select \"id\", \"at\" from only \"outbox\".\"events\" \
             where (\"at\" >= to_timestamp(1700000000.042) or \"at\" is null) \
             order by \"at\", age(xmin) desc, cmin::text::int8, ctid"
        );
        let filter = Some("(tenant = 1) OR x".to_owned());
        let partitioned = StoredTable { is_partitioned: true, filter, ..table() };
        assert_eq!(
            partitioned.select(None),
            "select \"id\", \"at\" from \"outbox\".\"events\" where ((tenant = 1) OR x) \
             order by \"at\", age(xmin) desc, cmin::text::int8, ctid"
        );
        let timeless = StoredTable { created_at: None, ..table() };
        assert_eq!(
            timeless.select(Some(1)),
            "select \"id\", \"at\" from only \"outbox\".\"events\" \
             order by age(xmin) desc, cmin::text::int8, ctid"
        );
    }

    #[test]
    fn a_row_reads_as_one_of_the_stream() {
        let mut tuple = b"left over".to_vec();
        encode([Some("é"), None, Some("")].into_iter(), &mut tuple);
        let cells: Vec<_> = Tuple::decode(&tuple).unwrap().cells().collect();
        assert_eq!(cells, [Cell::Text("é".as_bytes()), Cell::Null, Cell::Text(b"")]);
    }
}

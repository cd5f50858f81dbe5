//! The outbox tables, as the catalog describes them.

use outboxd_core::relation::{ColumnNames, Layout, TableName};
use outboxd_core::stop::{Code, Stop};
use tokio_postgres::types::Type;

use crate::control::{ControlError, ControlSession, ServerVersion};

/// One configured table, and what was found under its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfiguredTable {
    pub name: TableName,
    pub found: Option<Table>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    pub kind: Kind,
    /// In the order of the table; those that an insert sends.
    pub columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Ordinary,
    Partitioned,
    /// Its changes never enter the write-ahead log.
    Unlogged,
    /// A view, a foreign table, a sequence …
    Other,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
}

/// Looks the tables up. With a publication that lists columns of a table, only those are there.
pub async fn read(
    session: &ControlSession,
    names: &[TableName],
    publication: &str,
) -> Result<Vec<ConfiguredTable>, ControlError> {
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        tables.push(read_one(session, name, publication).await?);
    }
    Ok(tables)
}

/// Whether every configured table is there and can be read as an outbox.
pub fn check_table_contract(tables: &[ConfiguredTable], columns: &ColumnNames) -> Result<(), Stop> {
    for ConfiguredTable { name, found } in tables {
        let table = found.as_ref().ok_or_else(|| missing(name))?;
        table.check_kind(name)?;
        let found = table.columns.iter().map(|column| (column.name.as_str(), column.type_oid));
        Layout::resolve(name, found, columns).map_err(|error| Stop::from(&error))?;
    }
    Ok(())
}

impl Table {
    fn check_kind(&self, name: &TableName) -> Result<(), Stop> {
        let (what, hint) = match self.kind {
            Kind::Ordinary | Kind::Partitioned => return Ok(()),
            Kind::Unlogged => (
                "is unlogged: its rows never enter the write-ahead log",
                format!("alter table {name} set logged"),
            ),
            Kind::Other => (
                "is not a table",
                "name the table that the rows are inserted into in source.tables".to_owned(),
            ),
        };
        Err(Stop::new(Code::TableContract, format!("{name} {what}")).hint(hint))
    }
}

fn missing(name: &TableName) -> Stop {
    Stop::new(Code::TableMissing, format!("table {name} does not exist"))
        .detail("this database has no table of that name (upper and lower case count)")
        .hint("create it with `outboxd setup`, or name your own outbox with --table schema.table")
}

async fn read_one(
    session: &ControlSession,
    name: &TableName,
    publication: &str,
) -> Result<ConfiguredTable, ControlError> {
    let (schema, table) = (name.schema.as_str(), name.table.as_str());
    let parameters = [(&schema as _, Type::TEXT), (&table as _, Type::TEXT)];
    let rows = session.rows(KIND, &parameters).await?;
    let Some(row) = rows.first() else {
        return Ok(ConfiguredTable { name: name.clone(), found: None });
    };
    let kind = kind(row.try_get("kind")?);
    let [schema, table] = parameters;
    let parameters = [schema, table, (&publication as _, Type::TEXT)];
    let rows = session.rows(&columns_query(session.version()), &parameters).await?;
    let column = |row: &tokio_postgres::Row| {
        Ok(Column { name: row.try_get("name")?, type_oid: row.try_get("type_oid")? })
    };
    let columns = rows.iter().map(column).collect::<Result<_, ControlError>>()?;
    Ok(ConfiguredTable { name: name.clone(), found: Some(Table { kind, columns }) })
}

fn kind(code: &str) -> Kind {
    match code {
        "rp" => Kind::Ordinary,
        "ru" => Kind::Unlogged,
        // A partitioned table stores nothing itself; its persistence says nothing.
        "pp" | "pu" => Kind::Partitioned,
        _ => Kind::Other,
    }
}

const KIND: &str = "
    select c.relkind::text || c.relpersistence::text as kind
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2";

/// Generated columns are not sent, unless (18) the publication says so; column lists are 15+.
fn columns_query(version: ServerVersion) -> String {
    let published = "select p.attnames from pg_publication_tables p
                      where p.pubname = $3 and p.schemaname = $1 and p.tablename = $2";
    let sent = match version.major() {
        ..=14 => "a.attgenerated = '' and $3::text is not null".to_owned(),
        15..=17 => format!(
            "a.attgenerated = '' and a.attname = any (coalesce(({published}), array[a.attname]))"
        ),
        _ => format!(
            "case when exists ({published}) then a.attname = any (({published})::name[])
                  else a.attgenerated = '' end"
        ),
    };
    format!(
        "select a.attname::text as name, a.atttypid as type_oid
           from pg_attribute a
           join pg_class c on c.oid = a.attrelid
           join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped
            and {sent}
          order by a.attnum"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(kind: Kind) -> ConfiguredTable {
        let columns = [
            ("id", 2950),
            ("aggregatetype", 25),
            ("aggregateid", 25),
            ("type", 25),
            ("payload", 3802),
        ];
        let column = |(name, type_oid): (&str, u32)| Column { name: name.to_owned(), type_oid };
        let table = Table { kind, columns: columns.into_iter().map(column).collect() };
        ConfiguredTable { name: TableName::new("outbox", "events"), found: Some(table) }
    }

    fn check(table: ConfiguredTable) -> Result<(), Stop> {
        check_table_contract(&[table], &ColumnNames::default())
    }

    #[test]
    fn tables_and_partitioned_tables_serve() {
        assert_eq!(check(configured(Kind::Ordinary)), Ok(()));
        assert_eq!(check(configured(Kind::Partitioned)), Ok(()));
    }

    #[test]
    fn what_cannot_be_streamed_is_refused() {
        let stop = check(configured(Kind::Unlogged)).unwrap_err();
        assert_eq!(stop.hint.as_deref(), Some("alter table outbox.events set logged"));
        let stop = check(configured(Kind::Other)).unwrap_err();
        assert_eq!(stop.message, "outbox.events is not a table");
    }

    #[test]
    fn a_missing_table_and_a_missing_column_have_codes_of_their_own() {
        let mut table = configured(Kind::Ordinary);
        table.found.as_mut().unwrap().columns.pop();
        assert_eq!(check(table.clone()).unwrap_err().code, Code::TableContract);
        table.found = None;
        assert_eq!(check(table).unwrap_err().code, Code::TableMissing);
    }
}

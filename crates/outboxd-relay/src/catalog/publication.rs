//! The publication: what it publishes of the configured tables, and a fingerprint of it.
//!
//! Rows that are inserted while their table is not published are lost to the slot without a word,
//! also when the table comes back later. So it is not enough to see that all tables are there
//! now: the fingerprint changes with every change of the publication and its membership, because
//! it contains the oid and the xmin of each catalog row.

use outboxd_core::gate;
use outboxd_core::relation::TableName;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::control::{ControlError, ControlSession, ServerVersion};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    pub inserts: bool,
    /// One for each configured table, in their order.
    pub tables: Vec<(TableName, Coverage)>,
    pub fingerprint: String,
}

/// How the rows of a configured table arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coverage {
    /// Under its name.
    Published,
    /// It is partitioned, and its rows arrive under the names of the partitions.
    AsPartitions,
    /// It is a partition, and its rows arrive under the name of the partitioned table.
    AsRoot,
    /// Not at all.
    Missing,
}

/// The publication of this name; `None` when there is none.
pub async fn read(
    session: &ControlSession,
    name: &str,
    tables: &[TableName],
) -> Result<Option<Publication>, ControlError> {
    let sql = publication_query(session.version());
    let rows = session.rows(&sql, &[(&name, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut coverage = Vec::with_capacity(tables.len());
    for table in tables {
        coverage.push((table.clone(), read_coverage(session, name, table).await?));
    }
    Ok(Some(Publication {
        inserts: row.try_get("inserts")?,
        tables: coverage,
        fingerprint: row.try_get("fingerprint")?,
    }))
}

impl Publication {
    /// The tables that are not published under their own name.
    pub fn uncovered(&self) -> impl Iterator<Item = (&TableName, Coverage)> {
        let tables = self.tables.iter().map(|(table, coverage)| (table, *coverage));
        tables.filter(|(_, coverage)| *coverage != Coverage::Published)
    }
}

impl From<Publication> for gate::Publication {
    fn from(publication: Publication) -> Self {
        let missing = publication.uncovered().map(|(table, coverage)| match coverage {
            Coverage::AsPartitions => {
                format!("{table} (it arrives as its partitions: set publish_via_partition_root)")
            }
            Coverage::AsRoot => format!("{table} (it arrives as the table it is a partition of)"),
            Coverage::Published | Coverage::Missing => table.to_string(),
        });
        Self {
            inserts: publication.inserts,
            missing_tables: missing.collect(),
            fingerprint: publication.fingerprint,
        }
    }
}

async fn read_coverage(
    session: &ControlSession,
    publication: &str,
    table: &TableName,
) -> Result<Coverage, ControlError> {
    let (schema, name) = (table.schema.as_str(), table.table.as_str());
    let parameters =
        [(&publication as _, Type::TEXT), (&schema as _, Type::TEXT), (&name as _, Type::TEXT)];
    let rows = session.rows(&coverage_query(session.version()), &parameters).await?;
    rows.first().map_or(Ok(Coverage::Missing), coverage)
}

fn coverage(row: &Row) -> Result<Coverage, ControlError> {
    let published: bool = row.try_get("published")?;
    let member: bool = row.try_get("member")?;
    let partitioned: bool = row.try_get("partitioned")?;
    let partition: bool = row.try_get("is_partition")?;
    Ok(match (published, member) {
        (true, _) => Coverage::Published,
        (false, true) if partitioned => Coverage::AsPartitions,
        (false, true) if partition => Coverage::AsRoot,
        (false, _) => Coverage::Missing,
    })
}

/// A table belongs to a publication by itself, through a table it is a partition of, through the
/// schema of either (15+), or because all tables do.
fn coverage_query(version: ServerVersion) -> String {
    let by_schema = if version.major() >= 15 {
        "or exists (select from pg_publication_namespace m
                      join pg_class f on f.relnamespace = m.pnnspid
                     where m.pnpubid = p.oid and f.oid = any (t.family))"
    } else {
        ""
    };
    format!(
        "select t.relkind = 'p' as partitioned, t.relispartition as is_partition,
                exists (select from pg_publication_tables l
                         where l.pubname = p.pubname and l.schemaname = $2 and l.tablename = $3)
                    as published,
                p.puballtables
                    or exists (select from pg_publication_rel m
                                where m.prpubid = p.oid and m.prrelid = any (t.family))
                    {by_schema} as member
           from pg_publication p,
                (select c.*, array(select relid::oid from pg_partition_ancestors(c.oid) relid
                                   union select c.oid) as family
                   from pg_class c
                   join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = $2 and c.relname = $3) t
          where p.pubname = $1"
    )
}

fn publication_query(version: ServerVersion) -> String {
    let lines = fingerprint_lines(version);
    format!(
        r#"select p.pubinsert as inserts,
                  (select encode(sha256(convert_to(
                              string_agg(line, ';' order by line collate "C"), 'UTF8')), 'hex')
                     from ({lines}) lines) as fingerprint
             from pg_publication p
            where p.pubname = $1"#
    )
}

/// One line for each catalog row that makes the publication `p`.
fn fingerprint_lines(version: ServerVersion) -> String {
    let publication = "select concat_ws(' ', 'publication', p.oid, p.xmin, p.pubinsert, p.puballtables, p.pubviaroot) as line";
    if version.major() < 15 {
        return format!(
            "{publication}
             union all
             select concat_ws(' ', 'table', m.oid, m.xmin, m.prrelid)
               from pg_publication_rel m where m.prpubid = p.oid"
        );
    }
    format!(
        "{publication}
         union all
         select concat_ws(' ', 'table', m.oid, m.xmin, m.prrelid,
                          'filter', m.prqual, 'columns', m.prattrs)
           from pg_publication_rel m where m.prpubid = p.oid
         union all
         select concat_ws(' ', 'schema', m.oid, m.xmin, m.pnnspid)
           from pg_publication_namespace m where m.pnpubid = p.oid"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_is_told_how_a_table_arrives_instead() {
        let table = |name| TableName::new("outbox", name);
        let publication = Publication {
            inserts: true,
            tables: vec![
                (table("events"), Coverage::Published),
                (table("daily"), Coverage::AsPartitions),
                (table("daily_1"), Coverage::AsRoot),
                (table("lost"), Coverage::Missing),
            ],
            fingerprint: "f".to_owned(),
        };
        let missing = gate::Publication::from(publication).missing_tables;
        assert_eq!(
            missing,
            [
                "outbox.daily (it arrives as its partitions: set publish_via_partition_root)",
                "outbox.daily_1 (it arrives as the table it is a partition of)",
                "outbox.lost",
            ]
        );
    }
}

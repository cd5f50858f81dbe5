//! Tables as the stream announces them, and where the mapped columns of an outbox table stand.
//!
//! An announcement holds for one stream, until the same table is announced again: the server does
//! so after every change of the table, inside a transaction too. So a row is always read with the
//! layout that was announced last before it, and [`Relations::reset`] forgets everything when a
//! stream begins.

mod columns;
mod contract;
mod layout;
mod named;
mod table;
mod types;

use std::collections::BTreeMap;

use crate::pgoutput::{Relation, RelationId};

pub use columns::{ColumnNames, ExtraColumn, OptionalColumn};
pub use contract::ContractError;
pub(crate) use layout::Extra;
pub use layout::{Field, Layout};
pub(crate) use named::{NamedColumn, NamedColumns};
pub use table::{ParseTableNameError, TableName};

/// The tables announced in the running stream.
#[derive(Clone, Debug)]
pub struct Relations {
    tables: Vec<TableName>,
    columns: ColumnNames,
    announced: BTreeMap<RelationId, Announced>,
}

#[derive(Clone, Debug)]
enum Announced {
    /// Published, but not configured as an outbox: a leaf of a partitioned outbox, or another
    /// table in the same publication.
    Ignored,
    Outbox(Layout),
}

/// A row came for a table that the stream has not announced.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a row came for relation {}, which was never announced", .0.0)]
pub struct UnknownRelation(pub RelationId);

impl Relations {
    pub fn new(tables: Vec<TableName>, columns: ColumnNames) -> Self {
        Self { tables, columns, announced: BTreeMap::new() }
    }

    /// Forgets every announcement: a new stream announces again.
    pub fn reset(&mut self) {
        self.announced.clear();
    }

    /// Takes an announcement, which replaces an earlier one of the same relation.
    pub fn announce(&mut self, relation: &Relation<'_>) -> Result<(), ContractError> {
        // Whatever goes wrong below, no later row may be read with the former layout.
        let former = self.announced.remove(&relation.id);
        let announced = self.classify(relation, former)?;
        self.announced.insert(relation.id, announced);
        Ok(())
    }

    /// Where the columns of a relation stand; `None` when it is not an outbox.
    pub fn lookup(&self, id: RelationId) -> Result<Option<&Layout>, UnknownRelation> {
        match self.announced.get(&id) {
            Some(Announced::Outbox(layout)) => Ok(Some(layout)),
            Some(Announced::Ignored) => Ok(None),
            None => Err(UnknownRelation(id)),
        }
    }

    fn classify(
        &self,
        relation: &Relation<'_>,
        former: Option<Announced>,
    ) -> Result<Announced, ContractError> {
        let configured = self.tables.iter().find(|t| t.is(relation.namespace, relation.name));
        match (configured, former) {
            (Some(table), _) => {
                let columns = relation.columns.iter().map(|c| (c.name, c.type_oid));
                Layout::resolve(table, columns, &self.columns).map(Announced::Outbox)
            }
            // Its rows would be ignored from here on, without a word.
            (None, Some(Announced::Outbox(layout))) => Err(ContractError::Renamed {
                table: layout.table().clone(),
                now: TableName::new(relation.namespace, relation.name),
            }),
            (None, _) => Ok(Announced::Ignored),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::Column;

    const EVENTS: RelationId = RelationId(16_400);
    const DEBEZIUM: [(&str, u32); 5] = [
        ("id", 2950),
        ("aggregatetype", 1043),
        ("aggregateid", 1043),
        ("type", 1043),
        ("payload", 3802),
    ];

    fn relation<'a>(id: RelationId, name: &'a str, columns: &[(&'a str, u32)]) -> Relation<'a> {
        let column =
            |&(name, type_oid)| Column { is_key: false, name, type_oid, type_modifier: -1 };
        let columns = columns.iter().map(column).collect();
        Relation { id, namespace: "outbox", name, replica_identity: b'd', columns }
    }

    fn relations() -> Relations {
        Relations::new(vec![TableName::new("outbox", "events")], ColumnNames::default())
    }

    #[test]
    fn a_leaf_is_ignored_and_the_root_is_not() {
        let mut relations = relations();
        relations.announce(&relation(EVENTS, "events", &DEBEZIUM)).unwrap();
        relations.announce(&relation(RelationId(2), "events_p0", &DEBEZIUM)).unwrap();
        assert!(relations.lookup(EVENTS).unwrap().is_some());
        assert!(relations.lookup(RelationId(2)).unwrap().is_none());
        assert_eq!(relations.lookup(RelationId(3)).unwrap_err(), UnknownRelation(RelationId(3)));
    }

    #[test]
    fn the_schema_counts_as_well_as_the_name() {
        let mut relations = relations();
        let elsewhere = Relation { namespace: "public", ..relation(EVENTS, "events", &DEBEZIUM) };
        relations.announce(&elsewhere).unwrap();
        assert!(relations.lookup(EVENTS).unwrap().is_none());
    }

    #[test]
    fn a_new_announcement_replaces_the_former_layout() {
        let mut relations = relations();
        relations.announce(&relation(EVENTS, "events", &DEBEZIUM)).unwrap();
        let mut reordered = DEBEZIUM;
        reordered.reverse();
        relations.announce(&relation(EVENTS, "events", &reordered)).unwrap();
        let layout = relations.lookup(EVENTS).unwrap().unwrap();
        assert_eq!(layout.position(Field::Payload), Some(0));
        assert_eq!(layout.position(Field::Id), Some(4));
    }

    #[test]
    fn a_refused_announcement_leaves_nothing_to_read_rows_with() {
        let mut relations = relations();
        relations.announce(&relation(EVENTS, "events", &DEBEZIUM)).unwrap();
        relations.announce(&relation(EVENTS, "events", &DEBEZIUM[..4])).unwrap_err();
        assert!(relations.lookup(EVENTS).is_err());
    }

    #[test]
    fn an_outbox_that_is_renamed_while_streaming_is_not_dropped_silently() {
        let mut relations = relations();
        relations.announce(&relation(EVENTS, "events", &DEBEZIUM)).unwrap();
        let error = relations.announce(&relation(EVENTS, "events_old", &DEBEZIUM)).unwrap_err();
        assert_eq!(error.to_string(), "table outbox.events is now called outbox.events_old");
    }

    #[test]
    fn a_new_stream_starts_with_nothing_announced() {
        let mut relations = relations();
        relations.announce(&relation(EVENTS, "events", &DEBEZIUM)).unwrap();
        relations.reset();
        assert!(relations.lookup(EVENTS).is_err());
    }
}

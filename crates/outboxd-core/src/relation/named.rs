//! The layout of rows that bring the names of their columns with them: logical messages.
//!
//! There is no announcement to hold a name against, so each column that is mapped has a fixed place,
//! and which of them a row must have is looked at row by row.

use super::columns::ColumnNames;
use super::layout::Layout;

/// One place for each column that is mapped, whatever else a row has.
#[derive(Clone, Debug)]
pub(crate) struct NamedColumns {
    layout: Layout,
    columns: Vec<NamedColumn>,
}

#[derive(Clone, Debug)]
pub(crate) struct NamedColumn {
    pub(crate) name: String,
    /// A row without it cannot be read.
    pub(crate) required: bool,
}

impl NamedColumns {
    pub(crate) fn new(names: &ColumnNames) -> Self {
        let mut columns: Vec<NamedColumn> = Vec::new();
        let mut place = |name: &str, required: bool| {
            // One column can serve twice.
            let known = columns.iter().position(|column| column.name == name);
            let position = known.unwrap_or(columns.len());
            if known.is_none() {
                columns.push(NamedColumn { name: name.to_owned(), required });
            }
            columns[position].required |= required;
            position
        };
        let layout = Layout::placed(names, &mut place);
        Self { layout: layout.of_width(columns.len()), columns }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn columns(&self) -> &[NamedColumn] {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relation::{ExtraColumn, Field, OptionalColumn};

    #[test]
    fn each_mapped_column_has_a_place_and_one_that_serves_twice_has_one() {
        let names = ColumnNames {
            partition_key: Some("aggregateid".to_owned()),
            headers: OptionalColumn::Off,
            extra: vec![ExtraColumn { column: "tenant".to_owned(), header: "x".to_owned() }],
            ..ColumnNames::default()
        };
        let named = NamedColumns::new(&names);
        let columns: Vec<_> =
            named.columns().iter().map(|it| (it.name.as_str(), it.required)).collect();
        let required = ["id", "aggregatetype", "aggregateid", "type", "payload"];
        let mut expected: Vec<_> = required.map(|name| (name, true)).to_vec();
        expected.extend([("created_at", false), ("tenant", true)]);
        assert_eq!(columns, expected);
        assert_eq!(named.layout().position(Field::PartitionKey), Some(2));
        assert_eq!(named.layout().position(Field::Headers), None);
        assert_eq!(named.layout().column_count(), 7);
    }
}

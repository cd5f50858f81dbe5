//! `[columns]`: what the columns of the outbox table are called.

use config::{Value, ValueKind};

use super::section::Section;
use super::setting::{Setting, text};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ColumnsConfig {
    pub id: String,
    pub aggregatetype: String,
    pub aggregateid: String,
    /// The column of the event's type.
    pub event_type: String,
    pub payload: String,
    pub headers: OptionalColumn,
    pub created_at: OptionalColumn,
    pub topic: Option<String>,
    pub partition_key: Option<String>,
    pub schema_version: Option<String>,
    pub content_type: Option<String>,
    pub extra: Vec<ExtraColumn>,
}

/// A column with a default name that a table may do without, as Debezium's tables do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OptionalColumn {
    pub name: String,
    /// It was named in the configuration, so a table without it breaks the contract.
    pub required: bool,
}

/// A column that becomes a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtraColumn {
    pub column: String,
    /// The header's name (`as`).
    pub header: String,
}

impl ColumnsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut name = |key: &str| section.value(key, key.to_owned());
        let id = name("id");
        let aggregatetype = name("aggregatetype");
        let aggregateid = name("aggregateid");
        let event_type = name("type");
        let payload = name("payload");
        Self {
            id,
            aggregatetype,
            aggregateid,
            event_type,
            payload,
            headers: optional(&mut section, "headers"),
            created_at: optional(&mut section, "created_at"),
            topic: section.optional("topic"),
            partition_key: section.optional("partition_key"),
            schema_version: section.optional("schema_version"),
            content_type: section.optional("content_type"),
            extra: section.value("extra", Vec::new()),
        }
    }
}

fn optional(section: &mut Section<'_>, key: &str) -> OptionalColumn {
    let name = section.value(key, key.to_owned());
    OptionalColumn { name, required: section.is_set(key) }
}

/// As text: the column's name, which is then the header's as well.
impl Setting for ExtraColumn {
    fn expected() -> String {
        "`{ column = \"…\", as = \"…\" }`".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        let ValueKind::Table(table) = &value.kind else {
            let column = text(value).filter(|name| !name.is_empty())?;
            return Some(Self { column: column.to_owned(), header: column.to_owned() });
        };
        if table.keys().any(|key| key != "column" && key != "as") {
            return None;
        }
        let column = String::parse(table.get("column")?)?;
        let header = match table.get("as") {
            Some(header) => String::parse(header)?,
            None => column.clone(),
        };
        Some(Self { column, header })
    }

    fn print(&self) -> toml::Value {
        let pairs = [("column", &self.column), ("as", &self.header)];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.print()));
        toml::Value::Table(pairs.into_iter().collect())
    }
}

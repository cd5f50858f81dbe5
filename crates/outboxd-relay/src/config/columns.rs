//! `[columns]`: what the columns of the outbox table are called.

use config::{Value, ValueKind};

use super::section::Section;
use super::setting::{Choice, Setting, text};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ColumnsConfig {
    pub id: String,
    pub aggregatetype: OptionalColumn,
    pub aggregateid: OptionalColumn,
    /// The column of the event's type.
    pub event_type: OptionalColumn,
    pub payload: String,
    pub headers: OptionalColumn,
    pub created_at: OptionalColumn,
    pub topic: Option<String>,
    pub partition_key: Option<String>,
    pub schema_version: Option<String>,
    pub content_type: Option<String>,
    pub extra: Vec<ExtraColumn>,
}

/// A column with a default name that a table of some shape may do without.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OptionalColumn {
    pub name: String,
    /// Of this shape, or named in the configuration, so a table without it breaks the contract.
    pub required: bool,
}

/// The shape of the table, which gives names and needs their defaults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Preset {
    Debezium,
    /// `outbox_messages`: a topic in each row, no aggregates.
    OutboxMessages,
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
        let preset = section.value("preset", Preset::Debezium);
        let section = &mut section;
        let (key, topic) = match preset {
            Preset::Debezium => ("aggregateid", None),
            Preset::OutboxMessages => ("key", Some("topic".to_owned())),
        };
        let is_needed = preset == Preset::Debezium;
        Self {
            id: section.value("id", "id".to_owned()),
            aggregatetype: column(section, "aggregatetype", "aggregatetype", is_needed),
            aggregateid: column(section, "aggregateid", key, is_needed),
            event_type: column(section, "type", "type", is_needed),
            payload: section.value("payload", "payload".to_owned()),
            headers: column(section, "headers", "headers", false),
            created_at: column(section, "created_at", "created_at", false),
            topic: section.or_derived("topic", topic),
            partition_key: section.optional("partition_key"),
            schema_version: section.optional("schema_version"),
            content_type: section.optional("content_type"),
            extra: section.value("extra", Vec::new()),
        }
    }
}

/// `is_needed`: also under its default name.
fn column(section: &mut Section<'_>, key: &str, default: &str, is_needed: bool) -> OptionalColumn {
    let name = section.value(key, default.to_owned());
    OptionalColumn { name, required: is_needed || section.is_set(key) }
}

impl Choice for Preset {
    const ALL: &'static [(&'static str, Self)] =
        &[("debezium", Self::Debezium), ("outbox_messages", Self::OutboxMessages)];
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

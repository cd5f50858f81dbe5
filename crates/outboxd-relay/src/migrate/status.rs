//! `migrate status`: what the books say, held against the files of this program.

use std::fmt;

use outboxd_core::stop::Stop;
use serde::Serialize;

use super::files::{self, Migration, Part};
use super::observe::{Observed, SchemaState};
use super::plan::{Wish, variant};

#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub parts: Vec<PartStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PartStatus {
    pub part: &'static str,
    pub schema: String,
    /// Of the outbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<&'static str>,
    pub files: Vec<FileStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FileStatus {
    pub name: String,
    pub state: FileState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    Applied,
    Pending,
    /// Another text was applied under its name.
    Changed,
    /// Rights that nobody has asked for.
    Optional,
}

impl Status {
    pub fn of(wish: &Wish, observed: &Observed) -> Result<Self, Stop> {
        let parts = wish.parts.iter().map(|&part| PartStatus::of(wish, part, observed));
        Ok(Self { parts: parts.collect::<Result<_, _>>()? })
    }

    /// Whether something is wrong: a file that was changed, or one that is missing in a part that
    /// was begun. A part that nobody wanted here is not.
    pub fn is_complete(&self) -> bool {
        let only = self.parts.len() == 1;
        let lacks = |part: &PartStatus| {
            let wanted = only || part.is_begun();
            part.has(FileState::Changed) || (wanted && part.has(FileState::Pending))
        };
        self.parts.iter().any(PartStatus::is_begun) && !self.parts.iter().any(lacks)
    }
}

impl PartStatus {
    fn of(wish: &Wish, part: Part, observed: &Observed) -> Result<Self, Stop> {
        let schema = wish.schema_of(part);
        let state = observed.schema(&schema);
        let variant = variant(wish, part, &schema, &state)?;
        let tables = part.tables(variant).into_iter();
        let rights = part.rights(variant).into_iter();
        let files = tables
            .map(|file| FileStatus::of(file, &state, FileState::Pending))
            .chain(rights.map(|file| FileStatus::of(file, &state, FileState::Optional)));
        Ok(Self {
            part: part.as_str(),
            schema: schema.to_string(),
            variant: (part == Part::Outbox).then_some(variant.as_str()),
            files: files.collect(),
        })
    }

    /// The schema alone belongs to two parts.
    fn is_begun(&self) -> bool {
        let own = self.files.iter().filter(|file| file.name != files::SCHEMA.name);
        own.into_iter().any(|file| file.state == FileState::Applied)
    }

    fn has(&self, state: FileState) -> bool {
        self.files.iter().any(|file| file.state == state)
    }
}

impl FileStatus {
    fn of(migration: &Migration, state: &SchemaState, absent: FileState) -> Self {
        let entry = state.book.as_ref().and_then(|book| book.get(migration.name));
        let state = match entry {
            None => absent,
            Some(entry) if entry.checksum == migration.checksum() => FileState::Applied,
            Some(_) => FileState::Changed,
        };
        let applied_at = entry.map(|entry| entry.applied_at.clone());
        Self { name: migration.name.to_owned(), state, applied_at }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            write!(f, "{} in schema {}", part.part, part.schema)?;
            match part.variant {
                Some(variant) => writeln!(f, ", {variant}")?,
                None => writeln!(f)?,
            }
            for file in &part.files {
                let at = file.applied_at.as_deref().unwrap_or("");
                let line = format!("  {:<8}  {:<32}  {at}", file.state.as_str(), file.name);
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

impl FileState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Changed => "changed",
            Self::Optional => "optional",
        }
    }
}

//! The progress topic: what is written there, and what is read back.
//!
//! The slot alone cannot say how far a relay came: it falls back after a server crash, can be moved
//! or re-created by others, and cannot be written atomically with records. So progress lives next
//! to the records, in a compacted topic of its own.
//!
//! Keys: `progress/<acquisition>` for the position, `topic/<name>` for the partition count that
//! events of a topic were placed with. The acquisition stands in the key, so that compaction never
//! drops a newer owner's record for a late one of a former owner; the highest acquisition wins, and
//! of one acquisition the highest position.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use crate::lsn::Lsn;
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::window::{Durable, LastCommit, Partial};

/// The format that this version writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// A position and all that is needed to trust it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Progress {
    pub format: u32,
    /// Raised by every take-over.
    pub acquisition: u64,
    /// Raised when another system or timeline is adopted; leads the `sequence` header.
    pub epoch: u16,
    /// Decimal, as Postgres prints it.
    pub system_id: String,
    pub timeline: u32,
    pub database: String,
    pub slot: String,
    /// The slot is about to be created, or was and its position is not recorded yet.
    #[serde(default)]
    pub creating: bool,
    pub end_lsn: Lsn,
    pub partial: Option<Partial>,
    pub last_event_lsn: Lsn,
    pub parked_lsn: Lsn,
    pub last_commit: Option<LastCommit>,
    /// Fingerprint of the publication that the position was reached with.
    pub publication: String,
    /// Rows of the dead-letter table whose event this transaction has published, or a former one: the
    /// table may not say so yet.
    #[serde(default)]
    pub released: Vec<i64>,
    /// How many events the writer may have handed to Kafka beyond this record.
    pub unrecorded_events_max: u64,
    /// Milliseconds since the Unix epoch.
    pub written_at_ms: i64,
}

impl Progress {
    pub fn durable(&self) -> Durable {
        Durable {
            end_lsn: self.end_lsn,
            partial: self.partial,
            last_commit: self.last_commit,
            last_event_lsn: self.last_event_lsn,
        }
    }

    /// The newest identity known to be published or parked: past this, nothing left this database.
    pub fn newest_identity(&self) -> Lsn {
        let partial = self.partial.map_or(Lsn::ZERO, |partial| partial.commit_lsn);
        self.last_event_lsn.max(partial).max(self.parked_lsn)
    }

    /// Rises with every record of an owner. Two relays may have claimed the same acquisition, the
    /// claim of one being late: it must not set back the other, who was found alone.
    fn height(&self) -> impl Ord + use<> {
        let partial = self.partial.map(|partial| (partial.commit_lsn, partial.changes));
        (self.epoch, !self.creating, self.end_lsn, partial)
    }

    pub fn key(&self) -> Vec<u8> {
        progress_key(self.acquisition)
    }

    pub fn value(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("progress is plain data")
    }
}

/// The key of the progress record of one acquisition. Zero-padded, so that keys sort.
pub fn progress_key(acquisition: u64) -> Vec<u8> {
    format!("{PROGRESS}{acquisition:020}").into_bytes()
}

pub fn topic_key(topic: &str) -> Vec<u8> {
    format!("{TOPIC}{topic}").into_bytes()
}

pub fn topic_value(partitions: u32) -> Vec<u8> {
    format!("{{\"partitions\":{partitions}}}").into_bytes()
}

/// What the progress topic says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recorded {
    /// The record of the highest acquisition.
    pub progress: Option<Progress>,
    /// Acquisitions whose records are still there and no longer count.
    pub older: Vec<u64>,
    /// Known partition counts.
    pub topics: BTreeMap<String, u32>,
}

/// A record of the progress topic that this version cannot use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProgressError {
    #[error("the record at offset {offset} cannot be read: {reason}")]
    Malformed { offset: i64, reason: String },
    #[error("the record at offset {offset} has format {format}; this version reads {FORMAT}")]
    Format { offset: i64, format: u32 },
}

impl Recorded {
    /// Replays the topic from its oldest record to its newest.
    pub fn read<'a>(
        entries: impl IntoIterator<Item = (i64, &'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Self, ProgressError> {
        let mut positions = BTreeMap::new();
        let mut topics = BTreeMap::new();
        for (offset, key, value) in entries {
            let malformed = |reason: &str| malformed(offset, reason);
            let key = std::str::from_utf8(key).map_err(|_| malformed("its key is not text"))?;
            if let Some(number) = key.strip_prefix(PROGRESS) {
                let number: u64 = number.parse().map_err(|_| malformed("no acquisition"))?;
                match value {
                    Some(value) => {
                        let progress = parse_progress(offset, value)?;
                        if progress.acquisition != number {
                            return Err(malformed(
                                "its key and its value name different acquisitions",
                            ));
                        }
                        #[cfg(test)]
                        if is_planted(Planted::BelievesZombie) {
                            positions.clear();
                        }
                        let known = positions.get(&number).map(Progress::height);
                        if known.is_none_or(|known| known <= progress.height()) {
                            positions.insert(number, progress);
                        }
                    }
                    None => {
                        positions.remove(&number);
                    }
                }
            } else if let Some(topic) = key.strip_prefix(TOPIC) {
                match value {
                    Some(value) => topics.insert(topic.to_owned(), parse_topic(offset, value)?),
                    None => topics.remove(topic),
                };
            } else {
                return Err(malformed("unknown key"));
            }
        }
        let progress = positions.pop_last().map(|(_, progress)| progress);
        Ok(Self { progress, older: positions.into_keys().collect(), topics })
    }
}

fn parse_progress(offset: i64, value: &[u8]) -> Result<Progress, ProgressError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let malformed = |error: serde_json::Error| malformed(offset, &error.to_string());
    let Format { format } = serde_json::from_slice(value).map_err(malformed)?;
    if format != FORMAT {
        return Err(ProgressError::Format { offset, format });
    }
    serde_json::from_slice(value).map_err(malformed)
}

fn parse_topic(offset: i64, value: &[u8]) -> Result<u32, ProgressError> {
    #[derive(serde::Deserialize)]
    struct Topic {
        partitions: u32,
    }
    let topic: Topic =
        serde_json::from_slice(value).map_err(|error| malformed(offset, &error.to_string()))?;
    Ok(topic.partitions)
}

fn malformed(offset: i64, reason: &str) -> ProgressError {
    ProgressError::Malformed { offset, reason: reason.to_owned() }
}

const PROGRESS: &str = "progress/";
const TOPIC: &str = "topic/";

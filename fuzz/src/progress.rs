//! The progress topic, and the texts that positions are kept as.
//!
//! The first bytes are a topic: records of a key and a value, each behind a length of two bytes; a
//! value of length 65535 is a tombstone.

use outboxd_core::headers::Sequence;
use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Recorded;

type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

pub fn run(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        texts(text);
    }
    let entries = split(bytes);
    let numbered = entries.iter().zip(0..);
    let read = Recorded::read(numbered.map(|(&(key, value), offset)| (offset, key, value)));
    if let Ok(recorded) = read {
        written_again(&recorded);
    }
}

/// What a relay would find that had only ever written what counts.
fn written_again(recorded: &Recorded) {
    let Some(progress) = &recorded.progress else {
        return assert!(recorded.older.is_empty());
    };
    assert!(recorded.older.iter().all(|older| *older < progress.acquisition));
    let (key, value) = (progress.key(), progress.value());
    let again = Recorded::read([(0, &key[..], Some(&value[..]))]).expect("what was just written");
    assert_eq!(again.progress.as_ref(), Some(progress));
}

fn texts(text: &str) {
    if let Ok(sequence) = text.parse::<Sequence>() {
        assert_eq!(sequence.to_string(), text);
    }
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
}

fn split(mut bytes: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    while let Some((Some(key), rest)) = counted(bytes) {
        let Some((value, rest)) = counted(rest) else { break };
        entries.push((key, value));
        bytes = rest;
    }
    entries
}

/// Bytes behind their length, as many as there are.
fn counted(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    match u16::from_be_bytes(*length) {
        TOMBSTONE => Some((None, rest)),
        length => {
            let (taken, rest) = rest.split_at(rest.len().min(length.into()));
            Some((Some(taken), rest))
        }
    }
}

/// The other direction, for the seeds.
pub(crate) fn join(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut append = |part: Option<&[u8]>| match part {
        Some(part) => {
            let length = u16::try_from(part.len()).expect("a short seed");
            bytes.extend(length.to_be_bytes());
            bytes.extend(part);
        }
        None => bytes.extend(TOMBSTONE.to_be_bytes()),
    };
    for (key, value) in entries {
        append(Some(key));
        append(*value);
    }
    bytes
}

const TOMBSTONE: u16 = u16::MAX;

//! What happens next, as the input says it.

use outboxd_core::encode;
use outboxd_core::lsn::Lsn;
use outboxd_core::time::PgTimestamp;
use outboxd_core::wire::Frame;

#[derive(Debug)]
pub(super) enum Step {
    /// The server sends a CopyData.
    Frame(Vec<u8>),
    /// The server sends a CopyData of which only these first bytes are kept.
    Skimmed(Vec<u8>),
    /// So many milliseconds pass.
    Pass(u64),
    /// The process stands still for so long.
    Freeze(u64),
    AckFirst,
    AckLast,
    RefuseFirst,
    KillProducer,
    RetireProducer,
    /// What the relay has waited for longest comes.
    Answer,
    /// It fails.
    Deny,
    /// The connection to the server is gone.
    Cut,
    CommitParcel,
    Replay,
    /// Topics have more partitions from now on.
    AddPartitions,
    /// Topics take larger records from now on.
    RaiseLimit,
    Shutdown,
}

impl Step {
    /// Reads the next; bytes that are none are passed over.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        loop {
            return Some(match byte(bytes)? {
                b'm' => Self::Frame(framed(counted(bytes))),
                b'f' => Self::Frame(counted(bytes).to_vec()),
                b's' => Self::Skimmed(counted(bytes).to_vec()),
                b't' => Self::Pass(square(byte(bytes)?)),
                b'T' => Self::Freeze(square(byte(bytes)?)),
                b'a' => Self::AckFirst,
                b'A' => Self::AckLast,
                b'r' => Self::RefuseFirst,
                b'k' => Self::KillProducer,
                b'K' => Self::RetireProducer,
                b'n' => Self::Answer,
                b'N' => Self::Deny,
                b'c' => Self::Cut,
                b'p' => Self::CommitParcel,
                b'y' => Self::Replay,
                b'+' => Self::AddPartitions,
                b'^' => Self::RaiseLimit,
                b'x' => Self::Shutdown,
                _ => continue,
            });
        }
    }
}

/// The other direction, of a step that the server makes: for the seeds.
pub(crate) fn write_counted(seed: &mut Vec<u8>, step: u8, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("a short seed");
    seed.push(step);
    seed.extend(length.to_be_bytes());
    seed.extend(bytes);
}

fn framed(body: &[u8]) -> Vec<u8> {
    let sent = PgTimestamp::default();
    encode::frame(&Frame::XLogData { start: Lsn::ZERO, end: Lsn::ZERO, sent, body })
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Bytes behind their length, as many as there are.
fn counted<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, rest)) = bytes.split_first_chunk() else { return std::mem::take(bytes) };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (taken, rest) = rest.split_at(length);
    *bytes = rest;
    taken
}

/// Up to 65 s, and fine where it is short.
fn square(byte: u8) -> u64 {
    u64::from(byte) * u64::from(byte)
}

//! What a process writes to its output, read and thrown away.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// What came out of a pipe.
pub(crate) struct Swallowed {
    pub(crate) bytes: u64,
    /// From the first bytes to the last.
    pub(crate) span: Duration,
}

/// Reads to the end.
pub(crate) fn swallow(mut pipe: impl Read) -> io::Result<Swallowed> {
    let mut buffer = vec![0; PIPE_BYTES];
    let (mut bytes, mut span) = (0, None);
    loop {
        let read = pipe.read(&mut buffer)?;
        if read == 0 {
            let span =
                span.map_or(Duration::ZERO, |(first, last): (Instant, Instant)| last - first);
            return Ok(Swallowed { bytes, span });
        }
        bytes += read as u64;
        let now = Instant::now();
        span = Some((span.map_or(now, |(first, _)| first), now));
    }
}

/// As much as a pipe holds.
const PIPE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_and_nothing_takes_no_time() {
        let swallowed = swallow(io::repeat(1).take(200_000)).unwrap();
        assert_eq!(swallowed.bytes, 200_000);
        let swallowed = swallow(io::empty()).unwrap();
        assert_eq!((swallowed.bytes, swallowed.span), (0, Duration::ZERO));
    }
}

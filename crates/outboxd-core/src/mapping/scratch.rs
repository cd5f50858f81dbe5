//! Where the parts of a record are laid out that are not in the row as they are needed.

use crate::record::HeaderBuffer;

#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    /// A decoded `bytea`.
    pub(super) payload: Vec<u8>,
    pub(super) topic: String,
    pub(super) headers: HeaderBuffer,
}

impl Scratch {
    /// The buffers, which one large row does not leave large for ever.
    pub(super) fn trimmed(&mut self) -> &mut Self {
        self.payload.clear();
        self.payload.shrink_to(KEPT_BYTES);
        self.topic.clear();
        self.topic.shrink_to(KEPT_BYTES);
        self.headers.clear();
        self.headers.shrink_to(KEPT_BYTES);
        self
    }
}

/// Far above an ordinary row, far below what a few relays' worth of memory is counted in.
pub(super) const KEPT_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_row_does_not_keep_its_memory() {
        let mut scratch = Scratch::default();
        scratch.payload.resize(8 * KEPT_BYTES, 0);
        scratch.headers.push("h", &vec![0; 8 * KEPT_BYTES]);
        scratch.trimmed();
        assert!(scratch.payload.capacity() <= KEPT_BYTES);
        assert!(scratch.headers.capacity() <= 4 * KEPT_BYTES);
        assert!(scratch.headers.as_headers().is_empty());
    }

    #[test]
    fn an_ordinary_row_leaves_its_buffers_for_the_next() {
        let mut scratch = Scratch::default();
        scratch.payload.resize(KEPT_BYTES / 2, 0);
        let before = scratch.payload.capacity();
        assert_eq!(scratch.trimmed().payload.capacity(), before);
    }
}

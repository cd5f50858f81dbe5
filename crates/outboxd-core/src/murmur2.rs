//! The hash that Java's Kafka client places keys by, so that a key keeps its partition whichever of
//! the two wrote it.

/// The partition of a record, as the Java client's default partitioner chooses it.
///
/// A record without a key carries no promise of order; it is spread by its event id, so that a
/// record sent again goes to the same partition. `partitions` of 0 is taken as 1.
#[must_use]
pub fn partition(key: Option<&[u8]>, event_id: &[u8], partitions: u32) -> i32 {
    let positive = murmur2(key.unwrap_or(event_id)) & 0x7fff_ffff;
    i32::try_from(positive % partitions.max(1)).expect("31 bits were kept")
}

/// MurmurHash2, 32 bits, with the seed Kafka uses.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    // Java lengths are 32 bits wide, and so is the hash: only the low bits can count.
    let length = data.len() as u32;
    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let mixed = word.wrapping_mul(MULTIPLIER);
        let mixed = (mixed ^ (mixed >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let tail = tail.iter().rev().fold(0, |word, &byte| (word << 8) | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// Every expected value was computed by Java's Kafka client (kafka-clients 4.1.1).
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Key, hash, partition of 12.
    const TEXTS: [(&str, i32, Option<i32>); 36] = [
        ("21", -973_932_308, None),
        ("foobar", -790_332_482, None),
        ("a-little-bit-long-string", -985_981_536, None),
        ("a-little-bit-longer-string", -1_486_304_829, None),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, None),
        ("abc", 479_470_107, None),
        ("", 275_646_681, Some(9)),
        ("0", 971_027_396, Some(8)),
        ("1", -1_993_445_489, Some(3)),
        ("7", -1_961_297_549, Some(3)),
        ("12", 126_087_238, Some(10)),
        ("123", -267_702_483, Some(5)),
        ("1234", -1_614_185_708, Some(0)),
        ("12345", -1_188_365_604, Some(8)),
        ("234", -406_844_982, Some(2)),
        ("34", -2_026_295_078, Some(6)),
        ("4", 1_514_888_353, Some(1)),
        ("kafka", -798_503_068, Some(4)),
        ("giberish123456789", -1_890_243_828, Some(8)),
        ("order-1", 1_221_710_326, Some(10)),
        ("order-42", 501_153_024, Some(0)),
        ("customer/99", -291_331_146, Some(2)),
        ("550e8400-e29b-41d4-a716-446655440000", 2_143_099_391, Some(11)),
        ("00000000-0000-0000-0000-000000000000", 713_427_837, Some(9)),
        ("9223372036854775807", -1_221_667_907, Some(9)),
        ("-1", 1_531_782_027, Some(3)),
        ("Zürich", -1_551_140_815, Some(1)),
        ("日本語", 1_431_860_170, Some(10)),
        ("🦀", 1_309_741_855, Some(7)),
        ("naïve café", 1_338_837_213, Some(9)),
        ("string-f-24-chars-length", 124_730_809, Some(1)),
        ("string-fo-25-chars-length", 1_269_511_650, Some(6)),
        ("string-foo-26-chars-length", 119_165_628, Some(0)),
        ("string-last-27-chars-length", 1_089_971_754, Some(6)),
        (" ", -987_232_127, Some(9)),
        ("a\nb", 2_143_194_928, Some(4)),
    ];

    /// Length, hash, partition of 12 for bytes that fall from 255 in steps of 7, so that the high
    /// bit, which Java's bytes take for a sign, is set in many of them.
    const BYTES: [(usize, i32, i32); 16] = [
        (1, -311_467_685, 3),
        (2, -1_496_820_858, 2),
        (3, -1_574_845_885, 7),
        (4, 218_394_090, 6),
        (5, 1_701_666_786, 6),
        (6, 1_881_629_146, 10),
        (7, 1_345_988_491, 7),
        (8, 976_511_118, 6),
        (9, -47_659_333, 7),
        (15, 1_304_432_844, 0),
        (16, -738_711_079, 1),
        (17, -1_054_544_637, 11),
        (31, -175_176_679, 1),
        (255, 1_011_151_557, 9),
        (256, -1_171_463_762, 6),
        (1000, 761_169_854, 2),
    ];

    #[test]
    fn hashes_text_as_java_does() {
        for (text, hash, expected) in TEXTS {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
            if let Some(expected) = expected {
                assert_eq!(partition(Some(text.as_bytes()), b"", 12), expected, "{text}");
            }
        }
    }

    #[test]
    fn hashes_bytes_as_java_does() {
        for (length, hash, expected) in BYTES {
            let bytes: Vec<u8> = (0..length).map(|i| 255_usize.wrapping_sub(i * 7) as u8).collect();
            assert_eq!(murmur2(&bytes).cast_signed(), hash, "{length}");
            assert_eq!(partition(Some(&bytes), b"", 12), expected, "{length}");
        }
    }

    #[test]
    fn a_hundred_thousand_keys_fold_to_what_java_folds_them_to() {
        let fold = (0..100_000_u32).fold(0_u32, |fold, i| {
            fold.wrapping_mul(31).wrapping_add(murmur2(format!("key-{i}").as_bytes()))
        });
        assert_eq!(fold.cast_signed(), -2_096_975_532);
    }

    #[test]
    fn without_a_key_the_event_id_decides() {
        assert_eq!(partition(None, b"order-1", 12), partition(Some(b"order-1"), b"x", 12));
        assert_ne!(partition(Some(b""), b"order-1", 12), partition(None, b"order-1", 12));
    }

    proptest! {
        #[test]
        fn the_partition_exists(key: Vec<u8>, partitions in 0..=u32::MAX) {
            let partition = partition(Some(&key), b"", partitions);
            prop_assert!(u32::try_from(partition).unwrap() < partitions.max(1));
        }
    }
}

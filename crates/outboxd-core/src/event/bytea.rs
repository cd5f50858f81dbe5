//! `bytea` as Postgres prints it with `bytea_output = hex`: `\x` and two digits per byte.

/// Appends the bytes that `text` stands for.
pub(crate) fn decode_into(text: &[u8], bytes: &mut Vec<u8>) -> Result<(), InvalidBytea> {
    let digits = text.strip_prefix(br"\x").ok_or(InvalidBytea)?;
    let (pairs, odd) = digits.as_chunks::<2>();
    // Looked at once at the end: a value that is no digit has bits above the lower four.
    let mut seen = odd.first().map_or(0, |_| NO_DIGIT);
    bytes.extend(pairs.iter().map(|&[high, low]| {
        let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
        seen |= high | low;
        high << 4 | low
    }));
    if seen < 16 { Ok(()) } else { Err(InvalidBytea) }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not bytea in hex form")]
pub struct InvalidBytea;

const NO_DIGIT: u8 = 0xff;

/// The value of each hex digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn decode(text: &[u8]) -> Result<Vec<u8>, InvalidBytea> {
        let mut bytes = Vec::new();
        decode_into(text, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn refuses_what_is_not_hex() {
        for text in ["", "x00", r"\", r"\x0", r"\x000", r"\x0g", r"\xg0", r"\x 0", r"\\x00", "abc"]
        {
            assert_eq!(decode(text.as_bytes()), Err(InvalidBytea), "{text}");
        }
    }

    proptest! {
        #[test]
        fn decodes_what_postgres_prints(bytes: Vec<u8>, upper: bool) {
            let mut text = r"\x".to_owned();
            for byte in &bytes {
                if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") }.unwrap();
            }
            prop_assert_eq!(decode(text.as_bytes()), Ok(bytes));
        }
    }
}

//! What `jsonb` makes of JSON text: what it refuses, and how long it prints the rest.
//!
//! A record carries what Postgres prints, not what was sent, so that is what has to fit.

/// Why `jsonb` refuses a text that is JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonbRefused {
    /// Postgres has no way to store it in text.
    #[error("contains the character U+0000 (\\u0000)")]
    Nul,
    /// A `\ud800` to `\udfff` that is not one of a pair.
    #[error("contains half of a surrogate pair (\\ud800 to \\udfff)")]
    Surrogate,
    /// More than 131072 digits before, or 16383 after the decimal point, however it is written.
    #[error("contains a number beyond the range of numeric")]
    Number,
}

/// Bytes that `jsonb` prints for a text that is known to be JSON. Without repeated keys, of which it
/// keeps one, that is exact.
pub(super) fn printed_bytes(json: &str) -> Result<usize, JsonbRefused> {
    let mut rest = json.as_bytes();
    let mut printed = 0;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        printed += match byte {
            b' ' | b'\t' | b'\n' | b'\r' => 0,
            // A space follows.
            b',' | b':' => 2,
            b'"' => string(&mut rest)?,
            b'-' | b'0'..=b'9' => {
                let length = rest.iter().position(|byte| !is_of_number(*byte));
                let (digits, after) = rest.split_at(length.unwrap_or(rest.len()));
                rest = after;
                number(byte, digits)?
            }
            _ => 1,
        };
    }
    Ok(printed)
}

/// From behind the opening quote to behind the closing one.
fn string(rest: &mut &[u8]) -> Result<usize, JsonbRefused> {
    let mut printed = 1;
    while let Some((&byte, after)) = rest.split_first() {
        *rest = after;
        printed += match byte {
            b'"' => return Ok(printed + 1),
            b'\\' => escape(rest)?,
            _ => 1,
        };
    }
    Ok(printed)
}

/// From behind a backslash.
fn escape(rest: &mut &[u8]) -> Result<usize, JsonbRefused> {
    let Some((&byte, after)) = rest.split_first() else { return Ok(0) };
    *rest = after;
    match byte {
        b'u' => match code(rest) {
            0 => Err(JsonbRefused::Nul),
            0xD800..=0xDBFF => {
                let pair = rest.strip_prefix(b"\\u").ok_or(JsonbRefused::Surrogate)?;
                *rest = pair;
                match code(rest) {
                    0xDC00..=0xDFFF => Ok(4),
                    _ => Err(JsonbRefused::Surrogate),
                }
            }
            0xDC00..=0xDFFF => Err(JsonbRefused::Surrogate),
            code => Ok(character(code)),
        },
        b'/' => Ok(1),
        _ => Ok(2),
    }
}

/// Four hexadecimal digits.
fn code(rest: &mut &[u8]) -> u32 {
    let (digits, after) = rest.split_at(rest.len().min(4));
    *rest = after;
    digits.iter().fold(0, |code, &digit| code * 16 + char::from(digit).to_digit(16).unwrap_or(0))
}

/// As it is, unless it has to be escaped.
fn character(code: u32) -> usize {
    match code {
        0x08 | 0x09 | 0x0A | 0x0C | 0x0D | 0x22 | 0x5C => 2,
        0..0x20 => 6,
        _ => char::from_u32(code).map_or(0, char::len_utf8),
    }
}

/// `jsonb` keeps a number as `numeric`, which prints every digit and no exponent.
fn number(first: u8, rest: &[u8]) -> Result<usize, JsonbRefused> {
    let is_negative = first == b'-';
    let exponent_at = rest.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let mantissa = &rest[..exponent_at.unwrap_or(rest.len())];
    let exponent = exponent_at.map_or(Some(0), |at| exponent(&rest[at + 1..]));
    let exponent = exponent.ok_or(JsonbRefused::Number)?;
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let lead = usize::from(!is_negative);
    let whole = (lead + point.unwrap_or(mantissa.len())) as i64;
    let fraction = point.map_or(0, |at| mantissa.len() - at - 1) as i64;
    let all = (!is_negative).then_some(first).into_iter().chain(mantissa.iter().copied());
    let zeros = all.filter(|&byte| byte != b'.').take_while(|&byte| byte == b'0').count();
    let is_zero = zeros as i64 == whole + fraction;
    let before = if is_zero { 1 } else { (whole + exponent - zeros as i64).max(1) };
    let after = (fraction - exponent).max(0);
    if before > WHOLE_DIGITS_MAX || after > FRACTION_DIGITS_MAX {
        return Err(JsonbRefused::Number);
    }
    let point = if after > 0 { after + 1 } else { 0 };
    Ok((i64::from(is_negative && !is_zero) + before + point) as usize)
}

/// `None`: beyond anything.
fn exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|exponent: &i64| exponent.abs() < EXPONENT_MAX)
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

const WHOLE_DIGITS_MAX: i64 = 131_072;
const FRACTION_DIGITS_MAX: i64 = 16_383;
const EXPONENT_MAX: i64 = (i32::MAX / 2) as i64;

#[cfg(test)]
mod tests {
    use super::*;

    /// That this is what Postgres does is shown by a test on a real one.
    #[test]
    fn prints_as_jsonb_does() {
        for (json, printed) in [
            ("{}", "{}"),
            ("[ ]", "[]"),
            (r#"{"a":1,"b":[true,false,null]}"#, r#"{"a": 1, "b": [true, false, null]}"#),
            (r#""a,b:c \/ \u00fc \ud83e\udd80""#, r#""a,b:c / ü 🦀""#),
            (
                r#""\b\f\n\r\t\"\\\u0008\u001f\u0022\u005c\u007f""#,
                "\"\\b\\f\\n\\r\\t\\\"\\\\\\b\\u001f\\\"\\\\\u{7f}\"",
            ),
            ("1.10", "1.10"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("-1.5e3", "-1500"),
            ("1.5e-3", "0.0015"),
            ("0.001e2", "0.1"),
            ("0e5", "0"),
            ("0.00e1", "0.0"),
            ("1E+2", "100"),
            ("12.34e1", "123.4"),
        ] {
            assert_eq!(printed_bytes(json), Ok(printed.len()), "{json} as {printed}");
        }
    }

    #[test]
    fn refuses_what_jsonb_refuses() {
        for (json, refused) in [
            (r#"{"a\u0000": 1}"#, JsonbRefused::Nul),
            (r#""\ud83e""#, JsonbRefused::Surrogate),
            (r#""\ud83e\n""#, JsonbRefused::Surrogate),
            (r#""\ud83e\u0041""#, JsonbRefused::Surrogate),
            (r#""\udd80""#, JsonbRefused::Surrogate),
            ("[1e131072]", JsonbRefused::Number),
            ("1e-16384", JsonbRefused::Number),
            ("1e99999999999999999999", JsonbRefused::Number),
        ] {
            assert_eq!(printed_bytes(json), Err(refused), "{json}");
        }
        assert_eq!(printed_bytes(r#""\\u0000""#), Ok(9));
        assert_eq!(printed_bytes("1e131071"), Ok(131_072));
        assert_eq!(printed_bytes("1e-16383"), Ok(16_385));
    }
}

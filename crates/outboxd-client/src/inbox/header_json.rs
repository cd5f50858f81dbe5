//! Headers as JSON, so that a message that failed can be delivered again from its row as it came.
//!
//! An array of pairs of name and value, in their order. A value is a string, null, or, where it is
//! no text that Postgres can hold, an object with its bytes in hexadecimal.

use serde_json::{Value, json};

use crate::message::Header;

pub(crate) fn to_json(headers: &[Header]) -> Value {
    headers.iter().map(|header| json!([name_of(header), value_of(header)])).collect()
}

/// `None` when it is not what [`to_json`] makes.
pub(crate) fn from_json(json: &Value) -> Option<Vec<Header>> {
    json.as_array()?.iter().map(header_from).collect()
}

fn name_of(header: &Header) -> String {
    header.name.replace('\0', "")
}

fn value_of(header: &Header) -> Value {
    let Some(bytes) = &header.value else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text.into(),
        _ => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn header_from(pair: &Value) -> Option<Header> {
    let [name, value] = pair.as_array()?.as_slice() else { return None };
    let value = match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(bytes_of(other.get("hex")?.as_str()?)?),
    };
    Some(Header { name: name.as_str()?.to_owned(), value })
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: Option<&[u8]>) -> Header {
        Header { name: name.to_owned(), value: value.map(<[u8]>::to_vec) }
    }

    #[test]
    fn headers_come_back_as_they_were() {
        let headers = vec![
            header("b", Some("é\"".as_bytes())),
            header("a", None),
            header("b", Some(b"")),
            header("binary", Some(&[0, 0xff, 0x10])),
            header("nul", Some(b"a\0b")),
        ];
        let json = to_json(&headers);
        assert!(!json.to_string().contains("\\u0000"), "{json}");
        assert_eq!(from_json(&json), Some(headers));
    }

    #[test]
    fn what_is_no_list_of_headers_is_told() {
        for broken in [json!({}), json!([["a"]]), json!([["a", {"hex": "0"}]]), json!([["a", 1]])] {
            assert_eq!(from_json(&broken), None, "{broken}");
        }
    }
}

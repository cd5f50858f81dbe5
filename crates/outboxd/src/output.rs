//! Data on stdout.

use std::io::{self, ErrorKind, Write};

use serde_json::{Value, json};

/// A reader that went away early, as `head` does, has got what it wanted.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Bytes as JSON: text as text, others in hex.
pub(crate) fn readable(bytes: Option<Vec<u8>>) -> Value {
    match bytes.map(String::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(error)) => {
            let hex: String = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

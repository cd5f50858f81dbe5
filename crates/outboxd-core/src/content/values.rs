//! The values of one message, laid out in buffers that are kept from message to message.

use crate::event::{InvalidBytea, decode_bytea};
use crate::pgoutput::Cell;

#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    text: Vec<u8>,
    /// What was hex digits.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    value: Value,
    /// Given as hex digits.
    is_bytea: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Value {
    #[default]
    Absent,
    Null,
    Text {
        from: usize,
        to: usize,
    },
    Bytes {
        from: usize,
        to: usize,
    },
}

impl Values {
    /// One cell for each column; one that is not there is null.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell<'_>> + Clone {
        self.places.iter().map(|place| match place.value {
            Value::Absent | Value::Null => Cell::Null,
            Value::Text { from, to } => Cell::Text(&self.text[from..to]),
            Value::Bytes { from, to } => Cell::Text(&self.bytes[from..to]),
        })
    }

    /// The column was there, null or not.
    pub(crate) fn is_given(&self, position: usize) -> bool {
        !matches!(self.places[position].value, Value::Absent)
    }

    /// Gives memory back that one large message took.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        for buffer in [&mut self.text, &mut self.bytes] {
            buffer.clear();
            buffer.shrink_to(bytes);
        }
        self.places.clear();
    }

    pub(super) fn begin(&mut self, columns: usize) {
        self.text.clear();
        self.bytes.clear();
        self.places.clear();
        self.places.resize(columns, Place::default());
    }

    pub(super) fn set_null(&mut self, position: usize) {
        self.places[position].value = Value::Null;
    }

    pub(super) fn set_text(&mut self, position: usize, text: &str) {
        let from = self.text.len();
        self.text.extend_from_slice(text.as_bytes());
        self.places[position].value = Value::Text { from, to: self.text.len() };
    }

    pub(super) fn mark_bytea(&mut self, position: usize) {
        self.places[position].is_bytea = true;
    }

    pub(super) fn decode_marked(&mut self, position: usize) -> Result<(), InvalidBytea> {
        let Place { value: Value::Text { from, to }, is_bytea: true } = self.places[position]
        else {
            return Ok(());
        };
        let start = self.bytes.len();
        decode_bytea(&self.text[from..to], &mut self.bytes)?;
        self.places[position].value = Value::Bytes { from: start, to: self.bytes.len() };
        Ok(())
    }
}

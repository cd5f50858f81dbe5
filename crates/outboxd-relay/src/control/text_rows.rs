//! Rows in text, one after another: however many there are, a few are in memory.

use std::pin::Pin;

use futures_util::TryStreamExt;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use super::ControlError;

/// What is left of an answer. The session answers nothing else until all of it was taken.
pub(crate) struct TextRows(Pin<Box<SimpleQueryStream>>);

impl TextRows {
    pub(super) fn new(stream: SimpleQueryStream) -> Self {
        Self(Box::pin(stream))
    }

    pub(crate) async fn next(&mut self) -> Result<Option<SimpleQueryRow>, ControlError> {
        while let Some(message) = self.0.try_next().await? {
            if let SimpleQueryMessage::Row(row) = message {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

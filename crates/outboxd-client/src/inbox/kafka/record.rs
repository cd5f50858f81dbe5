//! A record of librdkafka as a message of ours.

use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::message::{Header, Message};

/// For a loop of one's own over a consumer of rdkafka.
impl From<&BorrowedMessage<'_>> for Message {
    fn from(record: &BorrowedMessage<'_>) -> Self {
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        let headers = headers.map(|header| Header {
            name: header.key.to_owned(),
            value: header.value.map(<[u8]>::to_vec),
        });
        Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
            timestamp_ms: record.timestamp().to_millis(),
        }
    }
}

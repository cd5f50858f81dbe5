//! One message of the server, as the framer delivers it.

use std::io;

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, Message, RowDescriptionBody};

use super::server_error::ServerError;

/// A message of the server. Only the contents of CopyData are borrowed; everything else is rare.
#[derive(Debug, Eq, PartialEq)]
pub enum BackendFrame<'a> {
    CopyData(&'a [u8]),
    /// A CopyData above the limit: its first bytes and its full length. The rest is thrown away.
    Skimmed { head: &'a [u8], length: usize },
    CopyBoth,
    CopyDone,
    CommandComplete,
    ReadyForQuery,
    Error(Box<ServerError>),
    Notice(Box<ServerError>),
    ParameterStatus { name: String, value: String },
    BackendKey { process_id: i32 },
    RowDescription(Vec<String>),
    DataRow(Row),
    EmptyQuery,
    Authentication(AuthRequest),
}

/// How the server wants the client to prove who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthRequest {
    Ok,
    Cleartext,
    Md5 { salt: [u8; 4] },
    Sasl { mechanisms: Vec<String> },
    SaslContinue(Vec<u8>),
    SaslFinal(Vec<u8>),
    Unsupported(&'static str),
}

/// A row of a simple query, in text format.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    values: Vec<Option<Bytes>>,
}

impl Row {
    /// The column's bytes; `None` when it is null or not there.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.values.get(column)?.as_deref()
    }

    /// The column's text; `None` also when it is not UTF-8.
    pub fn text(&self, column: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(column)?).ok()
    }

    pub(super) fn size(&self) -> usize {
        let values: usize = self.values.iter().flatten().map(Bytes::len).sum();
        values + self.values.len() * size_of::<Option<Bytes>>()
    }
}

/// Parses a complete message (tag, length, body) other than CopyData.
pub(super) fn parse_control(message: &[u8]) -> io::Result<BackendFrame<'static>> {
    if message.first() == Some(&COPY_BOTH_RESPONSE_TAG) {
        return Ok(BackendFrame::CopyBoth);
    }
    match Message::parse(&mut BytesMut::from(message))? {
        Some(message) => convert(message),
        None => Err(invalid("a message is shorter than announced")),
    }
}

fn convert(message: Message) -> io::Result<BackendFrame<'static>> {
    Ok(match message {
        Message::CopyDone => BackendFrame::CopyDone,
        Message::CommandComplete(_) => BackendFrame::CommandComplete,
        Message::ReadyForQuery(_) => BackendFrame::ReadyForQuery,
        Message::EmptyQueryResponse => BackendFrame::EmptyQuery,
        Message::ErrorResponse(body) => {
            BackendFrame::Error(Box::new(ServerError::from_fields(body.fields())?))
        }
        Message::NoticeResponse(body) => {
            BackendFrame::Notice(Box::new(ServerError::from_fields(body.fields())?))
        }
        Message::ParameterStatus(body) => BackendFrame::ParameterStatus {
            name: body.name()?.to_owned(),
            value: body.value()?.to_owned(),
        },
        Message::BackendKeyData(body) => {
            BackendFrame::BackendKey { process_id: body.process_id() }
        }
        Message::RowDescription(body) => BackendFrame::RowDescription(column_names(&body)?),
        Message::DataRow(body) => BackendFrame::DataRow(row(&body)?),
        other => BackendFrame::Authentication(auth_request(other)?),
    })
}

fn auth_request(message: Message) -> io::Result<AuthRequest> {
    Ok(match message {
        Message::AuthenticationOk => AuthRequest::Ok,
        Message::AuthenticationCleartextPassword => AuthRequest::Cleartext,
        Message::AuthenticationMd5Password(body) => AuthRequest::Md5 { salt: body.salt() },
        Message::AuthenticationSasl(body) => {
            let mechanisms = body.mechanisms().map(|name| Ok(name.to_owned())).collect()?;
            AuthRequest::Sasl { mechanisms }
        }
        Message::AuthenticationSaslContinue(body) => {
            AuthRequest::SaslContinue(body.data().to_vec())
        }
        Message::AuthenticationSaslFinal(body) => AuthRequest::SaslFinal(body.data().to_vec()),
        Message::AuthenticationGss | Message::AuthenticationGssContinue(_) => {
            AuthRequest::Unsupported("GSSAPI")
        }
        Message::AuthenticationSspi => AuthRequest::Unsupported("SSPI"),
        Message::AuthenticationKerberosV5 => AuthRequest::Unsupported("Kerberos 5"),
        Message::AuthenticationScmCredential => AuthRequest::Unsupported("SCM credentials"),
        _ => return Err(invalid("a message that has no place on a replication connection")),
    })
}

fn column_names(body: &RowDescriptionBody) -> io::Result<Vec<String>> {
    body.fields().map(|field| Ok(field.name().to_owned())).collect()
}

fn row(body: &DataRowBody) -> io::Result<Row> {
    let storage = body.buffer_bytes();
    let values = body.ranges().map(|range| Ok(range.map(|range| storage.slice(range))));
    Ok(Row { values: values.collect()? })
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// CopyBothResponse: in the replication protocol only, so the protocol crate does not know it.
const COPY_BOTH_RESPONSE_TAG: u8 = b'W';

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::message;

    #[test]
    fn a_row_keeps_null_apart_from_empty() {
        let body = b"\0\x03\0\0\0\x02ab\xFF\xFF\xFF\xFF\0\0\0\0";
        let BackendFrame::DataRow(row) = parse_control(&message(b'D', body)).unwrap() else {
            panic!("not a row");
        };
        assert_eq!((row.text(0), row.text(1), row.text(2)), (Some("ab"), None, Some("")));
        assert_eq!(row.text(3), None);
    }

    #[test]
    fn an_error_keeps_what_a_person_needs() {
        let body = b"SFEHLER\0VFATAL\0C3D000\0Mno such database\0Hcreate it\0\0";
        let BackendFrame::Error(error) = parse_control(&message(b'E', body)).unwrap() else {
            panic!("not an error");
        };
        assert_eq!(error.to_string(), "FATAL: no such database (3D000)");
        assert_eq!((error.detail, error.hint.as_deref()), (None, Some("create it")));
    }

    #[test]
    fn a_truncated_body_is_an_error_for_every_kind() {
        let messages: [(u8, &[u8]); 8] = [
            (b'E', b"SERROR\0C3D000\0Mx\0\0"),
            (b'S', b"name\0value\0"),
            (b'D', b"\0\x01\0\0\0\x02ab"),
            (b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            (b'K', b"\0\0\0\x01\0\0\0\x02"),
            (b'Z', b"I"),
            (b'C', b"COPY 0\0"),
            (b'R', b"\0\0\0\x05salt"),
        ];
        for (tag, body) in messages {
            assert!(parse_control(&message(tag, body)).is_ok(), "{}", tag as char);
            for length in 0..body.len() {
                let result = parse_control(&message(tag, &body[..length]));
                assert!(result.is_err(), "{} cut to {length}", tag as char);
            }
        }
    }

    #[test]
    fn an_unknown_message_is_an_error() {
        assert!(parse_control(&message(b'?', b"")).is_err());
        assert!(parse_control(&message(b'A', b"\0\0\0\x01c\0m\0")).is_err());
    }
}

//! Frames byte by byte from the PostgreSQL documentation, and what holds for all of them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::encode;

#[track_caller]
fn golden(bytes: &[u8], frame: &Frame<'_>) {
    assert_eq!(Frame::decode(bytes).as_ref(), Ok(frame));
    assert_eq!(encode::frame(frame), bytes);
}

#[track_caller]
fn refused(bytes: &[u8], message: &str) {
    let error = Frame::decode(bytes).expect_err("bytes that the protocol does not know");
    assert_eq!(error.to_string(), message);
}

#[test]
fn xlog_data() {
    let bytes = b"w\
        \x00\x00\x00\x16\xB3\x74\xD8\x48\
        \x00\x00\x00\x16\xB3\x74\xD8\x78\
        \x00\x02\x9D\x4F\x12\x34\x56\x78\
        body";
    let expected = Frame::XLogData {
        start: Lsn::new(0x16_B374_D848),
        end: Lsn::new(0x16_B374_D878),
        sent: PgTimestamp::from_micros(0x0002_9D4F_1234_5678),
        body: b"body",
    };
    golden(bytes, &expected);
}

#[test]
fn keepalive() {
    let bytes = b"k\
        \x00\x00\x00\x16\xB3\x74\xD8\x78\
        \xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\
        \x01";
    let expected = Frame::Keepalive {
        wal_end: Lsn::new(0x16_B374_D878),
        sent: PgTimestamp::from_micros(-1),
        reply_requested: true,
    };
    golden(bytes, &expected);
}

#[test]
fn status_update() {
    let update = StatusUpdate {
        write: Lsn::new(0x16_B374_D878),
        flush: Lsn::new(0x16_B374_D848),
        apply: Lsn::new(0x16B_3748),
        clock: PgTimestamp::from_micros(0x0002_9D4F_1234_5678),
        reply_requested: true,
    };
    let bytes = b"r\
        \x00\x00\x00\x16\xB3\x74\xD8\x78\
        \x00\x00\x00\x16\xB3\x74\xD8\x48\
        \x00\x00\x00\x00\x01\x6B\x37\x48\
        \x00\x02\x9D\x4F\x12\x34\x56\x78\
        \x01";
    assert_eq!(update.encode(), *bytes);
}

#[test]
fn what_the_protocol_does_not_know_is_refused() {
    refused(b"", "frame kind is cut off: 1 bytes needed, 0 left");
    refused(b"p", "unknown frame kind: 0x70");
    refused(b"w\0\0\0", "start of XLogData is cut off: 8 bytes needed, 3 left");
    refused(
        &[b"k".as_slice(), &[0; 16], &[2]].concat(),
        "unknown reply request of keepalive: 0x02",
    );
    refused(&[b"k".as_slice(), &[0; 17], &[0]].concat(), "1 bytes after the end of keepalive");

    let unknown = DecodeError::Unknown { what: "status kind", found: b'h' };
    assert_eq!(StatusUpdate::decode(b"h"), Err(unknown));
}

proptest! {
    #[test]
    fn every_xlog_data_comes_back(
        start: u64, end: u64, sent: i64, body in vec(any::<u8>(), 0..60),
    ) {
        let frame = Frame::XLogData {
            start: Lsn::new(start),
            end: Lsn::new(end),
            sent: PgTimestamp::from_micros(sent),
            body: &body,
        };
        let bytes = encode::frame(&frame);
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
        for cut in 0..XLOG_DATA_HEAD {
            let short = matches!(Frame::decode(&bytes[..cut]), Err(DecodeError::Short { .. }));
            prop_assert!(short, "{cut}");
        }
        for cut in XLOG_DATA_HEAD..bytes.len() {
            let Ok(Frame::XLogData { body: part, .. }) = Frame::decode(&bytes[..cut]) else {
                return Err(TestCaseError::fail(format!("cut at {cut}")));
            };
            prop_assert_eq!(part, &body[..cut - XLOG_DATA_HEAD]);
        }
    }

    #[test]
    fn every_keepalive_comes_back(wal_end: u64, sent: i64, reply_requested: bool, more: u8) {
        let frame = Frame::Keepalive {
            wal_end: Lsn::new(wal_end),
            sent: PgTimestamp::from_micros(sent),
            reply_requested,
        };
        let mut bytes = encode::frame(&frame);
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
        for cut in 0..bytes.len() {
            let short = matches!(Frame::decode(&bytes[..cut]), Err(DecodeError::Short { .. }));
            prop_assert!(short, "{cut}");
        }
        bytes.push(more);
        let leftover = DecodeError::Leftover { what: "keepalive", left: 1 };
        prop_assert_eq!(Frame::decode(&bytes), Err(leftover));
    }

    #[test]
    fn every_status_update_comes_back(
        write: u64, flush: u64, apply: u64, clock: i64, reply_requested: bool,
    ) {
        let update = StatusUpdate {
            write: Lsn::new(write),
            flush: Lsn::new(flush),
            apply: Lsn::new(apply),
            clock: PgTimestamp::from_micros(clock),
            reply_requested,
        };
        let bytes = update.encode();
        prop_assert_eq!(StatusUpdate::decode(&bytes), Ok(update));
        for cut in 0..bytes.len() {
            let short = matches!(StatusUpdate::decode(&bytes[..cut]), Err(DecodeError::Short { .. }));
            prop_assert!(short, "{cut}");
        }
    }

    #[test]
    fn random_frames_do_not_panic(
        kind in proptest::sample::select(b"wkrx".as_slice()),
        mut bytes in vec(any::<u8>(), 1..60),
    ) {
        bytes[0] = kind;
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(encode::frame(&frame), bytes.clone());
        }
        if let Ok(update) = StatusUpdate::decode(&bytes) {
            prop_assert_eq!(update.encode().to_vec(), bytes);
        }
    }
}

/// Kind, start, end, time.
const XLOG_DATA_HEAD: usize = 1 + 3 * 8;

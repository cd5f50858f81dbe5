//! The framer against bytes of every kind, through a pipe in memory.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::source::testing::message;

/// What a frame was, with its bytes owned.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    CopyData(Vec<u8>),
    Skimmed { head: Vec<u8>, length: usize },
    Control(String),
}

fn seen(frame: BackendFrame<'_>) -> Seen {
    match frame {
        BackendFrame::CopyData(bytes) => Seen::CopyData(bytes.to_vec()),
        BackendFrame::Skimmed { head, length } => Seen::Skimmed { head: head.to_vec(), length },
        control => Seen::Control(format!("{control:?}")),
    }
}

/// Sends the bytes through a pipe of the given size and collects what comes out of the framer.
async fn run(bytes: Vec<u8>, pipe_bytes: usize, limits: Limits) -> (Vec<Seen>, SourceError) {
    let (client, mut server) = duplex(pipe_bytes);
    let sender = tokio::spawn(async move {
        // A framer that has met an error stops reading.
        let _ = server.write_all(&bytes).await;
    });
    let mut framer = Framer::new(client, limits);
    let mut all = Vec::new();
    let error = loop {
        match framer.next_frame() {
            Ok(Some(frame)) => all.push(seen(frame)),
            Ok(None) => match framer.fill().await {
                Ok(read) => assert!(read > 0),
                Err(error) => break error,
            },
            Err(error) => break error,
        }
        assert!(framer.input.capacity() <= 2 * READ_BYTES + limits.copy_data_bytes.max(KEPT_BYTES));
    };
    drop(framer);
    sender.await.unwrap();
    (all, error)
}

fn limits(copy_data_bytes: usize) -> Limits {
    Limits { control_bytes: 1024, copy_data_bytes }
}

#[tokio::test]
async fn messages_come_out_whole_however_the_reads_cut_them() {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for length in [0_usize, 1, 5, 100, 70_000, 300_000, 3] {
        let body: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        bytes.extend(message(b'd', &body));
        expected.push(Seen::CopyData(body));
    }
    bytes.extend(message(b'c', b""));
    expected.push(Seen::Control("CopyDone".to_owned()));
    for pipe_bytes in [1, 7, 4096, 1 << 20] {
        let (all, end) = run(bytes.clone(), pipe_bytes, limits(1 << 20)).await;
        assert!(all == expected, "cut by {pipe_bytes}");
        assert!(matches!(end, SourceError::Closed), "{end:?}");
    }
}

#[tokio::test]
async fn a_row_above_the_limit_is_skimmed_and_the_next_one_is_whole() {
    for length in [100_001, SKIMMED_HEAD_BYTES * 5, 3_000_000] {
        let mut bytes = message(b'd', &vec![7; length]);
        bytes.extend(message(b'd', b"next"));
        for pipe_bytes in [1000, 1 << 20] {
            let (all, _) = run(bytes.clone(), pipe_bytes, limits(100_000)).await;
            let head = vec![7; SKIMMED_HEAD_BYTES];
            let expected = [Seen::Skimmed { head, length }, Seen::CopyData(b"next".to_vec())];
            assert!(all == expected, "{length} cut by {pipe_bytes}");
        }
    }
}

#[tokio::test]
async fn skimming_takes_no_memory() {
    let (client, mut server) = duplex(1 << 20);
    let length = 64 << 20;
    let sender = tokio::spawn(async move {
        server.write_all(&[b'd', 4, 0, 0, 4]).await.unwrap();
        let chunk = vec![0; 1 << 20];
        for _ in 0..64 {
            server.write_all(&chunk).await.unwrap();
        }
        server.write_all(&message(b'c', b"")).await.unwrap();
    });
    let mut framer = Framer::new(client, limits(1 << 20));
    let mut frames = Vec::new();
    while frames.len() < 2 {
        match framer.next_frame().unwrap() {
            Some(frame) => frames.push(seen(frame)),
            None => drop(framer.fill().await.unwrap()),
        }
        assert!(framer.input.capacity() <= 2 * READ_BYTES);
    }
    sender.await.unwrap();
    assert!(matches!(&frames[0], Seen::Skimmed { length: seen, .. } if *seen == length));
    assert_eq!(frames[1], Seen::Control("CopyDone".to_owned()));
}

#[tokio::test]
async fn an_announcement_takes_no_memory() {
    let limit = 64 << 20;
    let (client, mut server) = duplex(64);
    server.write_all(&[b'd', 4, 0, 0, 0, 1, 2, 3]).await.unwrap();
    let mut framer = Framer::new(client, limits(limit));
    framer.fill().await.unwrap();
    assert_eq!(framer.next_frame().unwrap(), None);
    server.write_all(&[4]).await.unwrap();
    framer.fill().await.unwrap();
    assert!(framer.input.capacity() <= 2 * READ_BYTES);
}

#[tokio::test]
async fn the_buffer_of_a_large_row_is_given_back() {
    let mut bytes = message(b'd', &vec![1; 8 << 20]);
    bytes.extend(message(b'd', b"small"));
    bytes.extend(message(b'd', b"small"));
    let (client, mut server) = duplex(1 << 16);
    let sender = tokio::spawn(async move {
        server.write_all(&bytes).await.unwrap();
        server
    });
    let mut framer = Framer::new(client, limits(16 << 20));
    let mut frames = 0;
    while frames < 3 {
        match framer.next_frame().unwrap() {
            Some(_) => frames += 1,
            None => drop(framer.fill().await.unwrap()),
        }
    }
    let mut server = sender.await.unwrap();
    server.write_all(b"d").await.unwrap();
    framer.fill().await.unwrap();
    assert!(framer.input.capacity() <= 2 * READ_BYTES, "{}", framer.input.capacity());
}

#[tokio::test]
async fn an_oversize_control_message_is_refused_by_its_announcement() {
    for tag in *b"EDTSRW?" {
        let (_, error) = run(vec![tag, 0x7F, 0xFF, 0xFF, 0xFF], 64, limits(1024)).await;
        let SourceError::Protocol(ProtocolError::TooLong { tag: named, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(named, tag);
    }
    let at_the_limit = message(b'N', &vec![b'x'; 1024]);
    let (_, error) = run(at_the_limit, 64, limits(1024)).await;
    assert!(matches!(error, SourceError::Protocol(ProtocolError::Malformed(_))), "{error:?}");
}

#[tokio::test]
async fn a_length_that_does_not_count_itself_is_refused() {
    for length in [0_i32, 3, -1, i32::MIN] {
        let mut bytes = vec![b'd'];
        bytes.extend(length.to_be_bytes());
        let (_, error) = run(bytes, 64, limits(1024)).await;
        assert!(matches!(error, SourceError::Protocol(ProtocolError::Length)), "{error:?}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_blocks_nothing_and_ends_in_an_error() {
    let (client, mut server) = duplex(16);
    let mut framer = Framer::new(client, limits(1024));
    let queue = |framer: &mut Framer<DuplexStream>| {
        framer.send(|out| {
            out.extend_from_slice(&[9; 1000]);
            Ok(())
        })
    };
    queue(&mut framer).unwrap();
    // Nobody reads what is sent, and still what was sent to us arrives.
    server.write_all(&message(b'd', b"row")).await.unwrap();
    framer.fill().await.unwrap();
    assert_eq!(framer.next_frame().unwrap(), Some(BackendFrame::CopyData(b"row")));
    while queue(&mut framer).is_ok() {}
    assert!(matches!(queue(&mut framer), Err(SourceError::PeerNotReading)));
    assert!(framer.output.len() <= UNSENT_BYTES + 1000);
}

#[tokio::test]
async fn a_cancelled_flush_loses_and_repeats_nothing() {
    let (client, mut server) = duplex(16);
    let mut framer = Framer::new(client, limits(1024));
    let sent: Vec<u8> = (0..200).collect();
    framer
        .send(|out| {
            out.extend_from_slice(&sent);
            Ok(())
        })
        .unwrap();
    let mut received = Vec::new();
    while received.len() < sent.len() {
        // One poll, then dropped.
        tokio::select! {
            biased;
            result = framer.flush() => result.unwrap(),
            () = std::future::ready(()) => {}
        }
        let mut part = [0; 7];
        let length = server.read(&mut part).await.unwrap();
        received.extend_from_slice(&part[..length]);
    }
    assert_eq!(received, sent);
}

#[tokio::test]
async fn a_reader_without_room_still_sends_and_does_not_read() {
    let (client, mut server) = duplex(1024);
    let mut framer = Framer::new(client, limits(1024));
    server.write_all(&message(b'd', b"row")).await.unwrap();
    framer
        .send(|out| {
            out.extend_from_slice(b"status");
            Ok(())
        })
        .unwrap();
    assert_eq!(framer.drive(false).await.unwrap(), 0);
    assert!(framer.input.is_empty() && !framer.has_unsent());
    tokio::select! {
        biased;
        result = framer.drive(false) => panic!("nothing to send, and yet {result:?}"),
        () = std::future::ready(()) => {}
    }
    let mut status = [0; 6];
    server.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"status");
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn random_bytes_end_in_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        pipe_bytes in 1_usize..100,
    ) {
        block_on(run(bytes, pipe_bytes, limits(300)));
    }

    #[test]
    fn mutated_messages_end_in_an_error(
        bodies in proptest::collection::vec(
            (proptest::sample::select(b"dDTESRKZCNcWIA".to_vec()), any::<Vec<u8>>()), 1..8),
        mutations in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        pipe_bytes in 1_usize..100,
    ) {
        let mut bytes: Vec<u8> =
            bodies.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        for (index, byte) in mutations {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        block_on(run(bytes, pipe_bytes, limits(40)));
    }

    #[test]
    fn copy_data_survives_any_cut(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        pipe_bytes in 1_usize..700,
    ) {
        let bytes = bodies.iter().flat_map(|body| message(b'd', body)).collect();
        let (all, end) = block_on(run(bytes, pipe_bytes, limits(300)));
        prop_assert!(matches!(end, SourceError::Closed));
        prop_assert_eq!(all, bodies.into_iter().map(Seen::CopyData).collect::<Vec<_>>());
    }
}

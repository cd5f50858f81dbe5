//! Sessions against a scripted server.

use super::*;
use crate::source::error::ProtocolError;
use crate::source::testing::{ScriptedServer, message, ready, row, rows, server_error};

const OPTIONS: SessionOptions =
    SessionOptions { wal_sender_timeout: Duration::from_secs(15), max_row_bytes: 1024 };

async fn connected() -> (ReplicationSession, ScriptedServer) {
    connected_with(OPTIONS).await
}

/// With a session that has little patience.
async fn connected_to_a_silent_server() -> (ReplicationSession, ScriptedServer) {
    let wal_sender_timeout = Duration::from_millis(50);
    connected_with(SessionOptions { wal_sender_timeout, ..OPTIONS }).await
}

async fn connected_with(options: SessionOptions) -> (ReplicationSession, ScriptedServer) {
    let listener = ScriptedServer::listen().await;
    let params = ScriptedServer::params(&[&listener]);
    let session = ReplicationSession::connect(&params, options);
    let (session, server) = tokio::join!(session, ScriptedServer::accept_login(&listener));
    (session.unwrap(), server)
}

async fn streaming() -> (ReplicationSession, ScriptedServer) {
    let (mut session, mut server) = connected().await;
    let answer = message(b'W', b"\0\0\0");
    let (started, ()) =
        tokio::join!(session.start("s", &["p"]), server.answer("START_REPLICATION", &answer));
    started.unwrap();
    (session, server)
}

/// The next frame's debug form: frames borrow from the session.
async fn next(session: &mut ReplicationSession) -> String {
    loop {
        if let Some(frame) = session.next_frame().unwrap() {
            return format!("{frame:?}");
        }
        session.fill().await.unwrap();
    }
}

fn assert_misuse<T: std::fmt::Debug>(result: &Result<T, SourceError>) {
    assert!(matches!(result, Err(SourceError::Misuse { .. })), "{result:?}");
}

#[tokio::test]
async fn a_failed_statement_leaves_the_session_usable() {
    let (mut session, mut server) = connected().await;
    let failure = [server_error("ERROR", "42601"), ready()].concat();
    let (result, ()) =
        tokio::join!(session.simple_query("selec"), server.answer("selec", &failure));
    assert_eq!(result.unwrap_err().as_server().unwrap().sqlstate, "42601");
    let (result, ()) = tokio::join!(session.ping(), server.answer("select 1", rows(&["1"])));
    result.unwrap();
}

#[tokio::test]
async fn a_fatal_error_ends_it() {
    let (mut session, mut server) = connected().await;
    let failure = server_error("FATAL", "57P01");
    let (result, ()) = tokio::join!(session.ping(), server.answer("select 1", &failure));
    assert!(result.unwrap_err().is_transient());
    assert_misuse(&session.ping().await);
}

#[tokio::test]
async fn a_query_dropped_half_way_ends_it() {
    let (mut session, _server) = connected().await;
    tokio::select! {
        biased;
        result = session.ping() => panic!("nobody answers, and yet {result:?}"),
        () = std::future::ready(()) => {}
    }
    assert_misuse(&session.ping().await);
    assert_misuse(&session.start("s", &["p"]).await);
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let (mut session, mut server) = connected().await;
    let endless = async {
        server.answer("select", b"").await;
        let value = "x".repeat(1_000_000);
        let row = row(&[&value]);
        for _ in 0..17 {
            server.send(&row).await;
        }
    };
    let (result, ()) = tokio::join!(session.simple_query("select"), endless);
    let answer = result.map(drop);
    let Err(SourceError::Protocol(ProtocolError::AnswerTooLarge)) = answer else {
        panic!("{answer:?}");
    };
}

#[tokio::test]
async fn identity_is_read_or_refused() {
    let (mut session, mut server) = connected().await;
    let good = [row(&["7423891", "2", "0/15D68C8", "shop"]), ready()].concat();
    let (identity, ()) =
        tokio::join!(session.identify_system(), server.answer("IDENTIFY_SYSTEM", &good));
    let identity = identity.unwrap();
    assert_eq!((identity.system_id.0, identity.timeline), (7_423_891, 2));
    assert_eq!(
        (identity.flush_lsn.to_string().as_str(), identity.database.as_str()),
        ("0/15D68C8", "shop")
    );

    let bad = [row(&["7423891", "two", "0/15D68C8", "shop"]), ready()].concat();
    let (identity, ()) =
        tokio::join!(session.identify_system(), server.answer("IDENTIFY_SYSTEM", &bad));
    assert!(matches!(identity, Err(SourceError::Protocol(_))), "{identity:?}");
}

fn assert_given_up<T: std::fmt::Debug>(
    session: &ReplicationSession,
    result: Result<T, SourceError>,
) {
    let error = result.unwrap_err();
    assert!(matches!(error, SourceError::Unanswered { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(session.state(), State::Querying, "a late answer must not be taken for another");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let (mut session, _server) = connected_to_a_silent_server().await;
    let pinged = session.ping().await;
    assert_given_up(&session, pinged);
    let (mut session, _server) = connected_to_a_silent_server().await;
    let locked = session.try_lock("one").await;
    assert_given_up(&session, locked);
    let (mut session, _server) = connected_to_a_silent_server().await;
    let locked = session.lock_slice("one", Duration::from_millis(50)).await;
    assert_given_up(&session, locked);
    let (mut session, _server) = connected_to_a_silent_server().await;
    let identity = session.identify_system().await;
    assert_given_up(&session, identity);
    let (mut session, _server) = connected_to_a_silent_server().await;
    let started = session.start("s", &["p"]).await;
    assert_given_up(&session, started);
}

/// The server waits for transactions of others, and says nothing meanwhile.
#[tokio::test]
async fn the_creation_of_a_slot_may_take_any_time() {
    let (mut session, mut server) = connected_to_a_silent_server().await;
    let (mut other, _silent) = connected_to_a_silent_server().await;
    let answer = async {
        other.ping().await.unwrap_err();
        let created = [row(&["s", "0/15D68C8"]), message(b'C', b"SELECT\0"), ready()].concat();
        server.answer("CREATE_REPLICATION_SLOT", created).await;
    };
    let (created, ()) = tokio::join!(session.create_logical_slot("s", false), answer);
    assert_eq!(created.unwrap().to_string(), "0/15D68C8");
}

#[tokio::test]
async fn the_lock_is_asked_for_by_name() {
    let (mut session, mut server) = connected().await;
    let wanted = "pg_try_advisory_lock(hashtextextended('outboxd:' || 'o''ne', 0))";
    let (locked, ()) = tokio::join!(session.try_lock("o'ne"), server.answer(wanted, rows(&["f"])));
    assert!(!locked.unwrap());
    let slice = Duration::from_millis(800);
    let (locked, ()) = tokio::join!(
        session.lock_slice("one", slice),
        server.answer("set local lock_timeout = 800;", rows(&["t"]))
    );
    assert!(locked.unwrap());
    let (locked, ()) = tokio::join!(session.try_lock("one"), server.answer("", rows(&["?"])));
    assert!(locked.is_err());
}

#[tokio::test]
async fn the_slice_stays_below_the_deadlock_timeout() {
    let (mut session, mut server) = connected().await;
    let (slice, ()) =
        tokio::join!(session.lock_wait_slice(), server.answer("deadlock_timeout", rows(&["1000"])));
    assert_eq!(slice.unwrap(), Duration::from_millis(800));
}

#[tokio::test]
async fn a_refused_start_says_why_and_leaves_the_session_usable() {
    for sqlstate in ["55006", "42704", "55000"] {
        let (mut session, mut server) = connected().await;
        let refusal = [server_error("ERROR", sqlstate), ready()].concat();
        let (result, ()) =
            tokio::join!(session.start("s", &["p"]), server.answer("START", &refusal));
        assert_eq!(result.unwrap_err().as_server().unwrap().sqlstate, sqlstate);
        assert_eq!(session.state(), State::Idle);
    }
}

#[tokio::test]
async fn remarks_made_before_the_stream_are_its_first_frames() {
    let (mut session, mut server) = connected().await;
    let notice = |text: &str| message(b'N', format!("SWARNING\0C55000\0M{text}\0\0").as_bytes());
    let answer = [notice("one"), notice("two"), message(b'W', b"\0\0\0"), notice("three")].concat();
    let (started, ()) = tokio::join!(session.start("s", &["p"]), server.answer("START", &answer));
    started.unwrap();
    for text in ["one", "two", "three"] {
        let frame = next(&mut session).await;
        assert!(frame.starts_with("Notice") && frame.contains(text), "{frame}");
    }
}

#[tokio::test]
async fn a_stream_ends_in_a_session_that_can_stream_again() {
    let (mut session, mut server) = streaming().await;
    server.send(&message(b'd', b"row")).await;
    assert_eq!(next(&mut session).await, format!("CopyData({:?})", b"row"));
    session.send_status(b"status").unwrap();
    session.send_copy_done().unwrap();
    session.flush().await.unwrap();
    assert_eq!(server.receive().await, (b'd', b"status".to_vec()));
    assert_eq!(server.receive().await, (b'c', Vec::new()));

    let late = message(b'd', b"late");
    let end = [message(b'c', b""), message(b'C', b"COPY 0\0"), ready()].concat();
    server.send(&[late, end].concat()).await;
    assert_eq!(next(&mut session).await, format!("CopyData({:?})", b"late"));
    for frame in ["CopyDone", "CommandComplete", "ReadyForQuery"] {
        assert_ne!(session.state(), State::Idle);
        assert_eq!(next(&mut session).await, frame);
    }

    let copy_both = message(b'W', b"\0\0\0");
    let refused = [copy_both.clone(), server_error("ERROR", "XX000"), ready()].concat();
    let server = async {
        server.answer("PHYSICAL FFFFFFFF/FFFFFFFF", refused).await;
        server.answer("LOGICAL 0/0", copy_both).await;
    };
    let (started, ()) = tokio::join!(session.start("s", &["p"]), server);
    started.unwrap();
    assert_eq!(session.state(), State::Streaming);
}

#[tokio::test]
async fn an_error_in_the_stream_is_delivered() {
    let (mut session, mut server) = streaming().await;
    server.send(&server_error("FATAL", "57P01")).await;
    let frame = next(&mut session).await;
    assert!(frame.starts_with("Error") && frame.contains("57P01"), "{frame}");
    drop(server);
    let end = session.fill().await;
    assert!(matches!(end, Err(SourceError::Closed | SourceError::Io(_))), "{end:?}");
}

#[tokio::test]
async fn each_state_refuses_what_it_cannot_do() {
    let (mut session, _server) = connected().await;
    assert_misuse(&session.send_status(b""));
    assert_misuse(&session.send_copy_done());
    let (mut session, _server) = streaming().await;
    assert_misuse(&session.ping().await);
    assert_misuse(&session.start("s", &["p"]).await);
    session.send_copy_done().unwrap();
    assert_misuse(&session.send_status(b""));
    assert_misuse(&session.send_copy_done());
}

#[tokio::test]
async fn copy_data_has_no_place_in_an_answer() {
    let (mut session, mut server) = connected().await;
    let answer = message(b'd', b"row");
    let (result, ()) = tokio::join!(session.ping(), server.answer("select 1", &answer));
    assert!(matches!(result, Err(SourceError::Protocol(_))), "{result:?}");
}

#[tokio::test]
async fn closing_says_good_bye() {
    let (session, mut server) = connected().await;
    let ((), message) = tokio::join!(session.close(), server.receive());
    assert_eq!(message, (b'X', Vec::new()));
}

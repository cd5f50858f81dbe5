//! SIGTERM and SIGINT: the first asks to end in order, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves at the first signal. From then on a second one ends the process with the status that a
/// shell gives to a process killed by it.
pub(crate) async fn shutdown() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!(event = "signals.unavailable", "signals cannot be handled");
        return std::future::pending().await;
    };
    first(&mut terminate, &mut interrupt).await;
    tracing::info!(event = "relay.stopping", "stopping; a second signal stops at once");
    tokio::spawn(async move {
        let status = first(&mut terminate, &mut interrupt).await;
        std::process::exit(status);
    });
}

/// Resolves at the first signal with the exit status that belongs to it, so that what was started
/// can be removed. From then on a second one ends the process.
#[cfg(feature = "demo")]
pub(crate) async fn interrupted() -> u8 {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    let status = first(&mut terminate, &mut interrupt).await;
    tokio::spawn(async move {
        std::process::exit(first(&mut terminate, &mut interrupt).await);
    });
    u8::try_from(status).unwrap_or(u8::MAX)
}

/// The exit status that belongs to the signal that came.
async fn first(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => 128 + 15,
        _ = interrupt.recv() => 128 + 2,
    }
}

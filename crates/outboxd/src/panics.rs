//! A panic, in whichever thread, is told once and ends the process: what is left of it could not be
//! trusted to confirm anything.

use std::panic::{self, PanicHookInfo};
use std::process;

/// To be called once, when there is a log.
pub(crate) fn end_the_process() {
    panic::set_hook(Box::new(|info| {
        tell(info);
        process::abort();
    }));
}

fn tell(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(event = "panic", location, thread, %backtrace, "panicked: {message}");
}

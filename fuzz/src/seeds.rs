//! Where the fuzzer starts: inputs as real servers, brokers and relays make them.

mod frame;
mod framer;
mod progress;
mod relay;
mod rows;

pub use relay::relay;

/// The name of each target, and its seeds: always the same.
pub fn all() -> [(&'static str, Vec<Vec<u8>>); 4] {
    [
        ("frame", frame::frame()),
        ("relay", relay()),
        ("progress", progress::progress()),
        ("framer", framer::framer()),
    ]
}

//! What the fuzz targets do with their bytes, and the seeds that they start from.
//!
//! Each module has a `run`, which may fail only by a panic: a broken promise of the code under test
//! is an assertion here. Nothing here depends on libFuzzer, so that it is checked and tested like
//! any other code.

pub mod frame;
pub mod framer;
mod outbox;
pub mod progress;
pub mod relay;
pub mod seeds;
mod source;

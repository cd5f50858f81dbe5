//! Configuration: flags, environment, file, defaults.

//! The first hour with outboxd: what can be wrong then, and what is said about it.
//!
//! Each text is a snapshot of the real program against a real server. Read it as somebody who has
//! never seen outboxd: it has to say what is wrong, with the facts, and what to do next.

mod databases;
mod limits;
mod logins;
mod program;
mod servers;
mod tls;
mod unreachable;

/// Holds what was said against its snapshot. Addresses and the like are new in each run.
fn assert_said(name: &str, said: impl AsRef<str>) {
    insta::with_settings!({ filters => program::FILTERS, omit_expression => true }, {
        insta::assert_snapshot!(name, said.as_ref());
    });
}

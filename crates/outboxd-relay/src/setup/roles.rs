//! The roles of an outbox: what each may do, and nothing more.
//!
//! They cannot log in. People and services become members of them, so that passwords and host
//! lines stay with whoever runs the server. Streaming is the exception: the right to replicate is
//! an attribute of the role that logs in, and cannot be handed on by membership.

use super::plan::{Statement, Wish};
use super::sql::identifier;
use crate::migrate::{OUTBOX_RIGHTS, Step};

/// Roles that are missing, and rights that are not given yet; with those on the outbox goes the
/// publication, which no file knows the name of.
pub(super) fn statements(wish: &Wish, rights: &[Step]) -> Vec<Statement> {
    let mut statements: Vec<_> = rights.iter().map(Statement::from).collect();
    if rights.iter().any(|step| *step.migration == OUTBOX_RIGHTS) {
        let sql =
            format!("alter publication {} owner to outbox_owner;", identifier(&wish.publication));
        statements.push(Statement { what: "owner of the publication".to_owned(), sql });
    }
    statements
}

/// What to do by hand without `--roles`.
pub(super) const HINT: &str = "everything belongs to the role that ran setup; `setup --roles` \
                               makes an owner and roles for application and relay";

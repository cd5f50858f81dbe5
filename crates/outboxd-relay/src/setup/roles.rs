//! The roles of an outbox: what each may do, and nothing more.
//!
//! They cannot log in. People and services become members of them, so that passwords and host
//! lines stay with whoever runs the server. Streaming is the exception: the right to replicate is
//! an attribute of the role that logs in, and cannot be handed on by membership.

use super::observe::Observed;
use super::plan::{Statement, Wish, our_table};
use super::sql::{DEAD_LETTERS_ROLES, OUTBOX_ROLES, identifier};

/// A role that `setup --roles` makes.
#[derive(Debug)]
pub(super) struct GroupRole {
    pub(super) name: &'static str,
    comment: &'static str,
}

/// Roles that are missing, and the rights on the outbox unless it has our owner already: roles
/// belong to the whole server, so that they may be there before the outbox of this database.
pub(super) fn statements(wish: &Wish, observed: &Observed) -> Vec<Statement> {
    let missing = ALL.iter().filter(|role| !observed.roles.contains(role.name));
    let mut statements: Vec<_> = missing.map(create).collect();
    let is_new = observed.outbox_owner.as_deref() != Some(OWNER);
    let events = is_new && wish.tables.contains(&our_table());
    let letters = is_new || !observed.dead_letters;
    if (events || letters) && !observed.superuser {
        statements.push(let_owner_own(wish, observed));
    }
    if events {
        let rights = OUTBOX_ROLES.trim().to_owned();
        statements.push(Statement { what: "rights on the outbox".to_owned(), sql: rights });
        statements.push(Statement {
            what: "owner of the publication".to_owned(),
            sql: format!("alter publication {} owner to {OWNER};", identifier(&wish.publication)),
        });
    }
    if letters {
        let sql = DEAD_LETTERS_ROLES.trim().to_owned();
        statements.push(Statement { what: "rights on the dead letters".to_owned(), sql });
    }
    statements
}

/// Who is no superuser can only give things to a role of its own that may have them.
fn let_owner_own(wish: &Wish, observed: &Observed) -> Statement {
    let (own_role, database) = (identifier(&observed.own_role), identifier(&wish.database));
    Statement {
        what: "let the owner own it".to_owned(),
        sql: format!(
            "grant {OWNER} to {own_role};\ngrant create on database {database} to {OWNER};"
        ),
    }
}

fn create(role: &GroupRole) -> Statement {
    let GroupRole { name, comment } = role;
    Statement {
        what: format!("role {name}"),
        sql: format!("create role {name} nologin;\ncomment on role {name} is '{comment}';"),
    }
}

/// What to do by hand without `--roles`.
pub(super) const HINT: &str = "everything belongs to the role that ran setup; `setup --roles` \
                               makes an owner and roles for application and relay";

const OWNER: &str = "outbox_owner";

pub(super) const ALL: [GroupRole; 3] = [
    GroupRole { name: OWNER, comment: "Owns the schema outbox, its tables and the publication." },
    GroupRole { name: "outbox_application", comment: "May write events: grant it to services." },
    GroupRole {
        name: "outbox_relay",
        comment: "May look at the outbox and the server: grant it to the role of source.url.",
    },
];

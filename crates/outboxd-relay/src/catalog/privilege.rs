//! Whether a role may stream.

use outboxd_core::stop::{Code, Stop};
use tokio_postgres::types::Type;

use crate::control::{ControlError, ControlSession};

/// What a role may do, as far as a relay or `setup` is concerned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Role {
    pub name: String,
    pub superuser: bool,
    pub replication: bool,
}

impl Role {
    /// The role of this name; `None` when there is none.
    pub async fn read(session: &ControlSession, name: &str) -> Result<Option<Self>, ControlError> {
        let rows = session.rows(ROLE, &[(&name, Type::TEXT)]).await?;
        let role = rows.first().map(|row| {
            Ok(Self {
                name: name.to_owned(),
                superuser: row.try_get("superuser")?,
                replication: row.try_get("replication")?,
            })
        });
        role.transpose()
    }

    pub fn check_replication(&self) -> Result<(), Stop> {
        if self.superuser || self.replication {
            return Ok(());
        }
        let name = &self.name;
        Err(Stop::new(Code::Permission, format!("role {name:?} may not use replication"))
            .detail("it has neither the attribute replication nor superuser")
            .hint(format!(
                "alter role {} replication; (on Amazon RDS: grant rds_replication to it)",
                crate::setup::sql::identifier(name)
            )))
    }
}

/// Amazon RDS gives the right by membership in a role, since only superusers could set the attribute.
const ROLE: &str = "
    select r.rolsuper as superuser,
           r.rolreplication or exists (
               select from pg_roles g
                where g.rolname = 'rds_replication' and pg_has_role(r.oid, g.oid, 'member')
           ) as replication
      from pg_roles r
     where r.rolname = $1";

#[cfg(test)]
mod tests {
    use super::*;

    fn role(superuser: bool, replication: bool) -> Role {
        Role { name: "relay".to_owned(), superuser, replication }
    }

    #[test]
    fn either_right_is_enough() {
        assert_eq!(role(true, false).check_replication(), Ok(()));
        assert_eq!(role(false, true).check_replication(), Ok(()));
        let stop = role(false, false).check_replication().unwrap_err();
        assert_eq!(stop.code, Code::Permission);
        assert!(stop.hint.unwrap().starts_with("alter role \"relay\" replication;"));
    }
}

//! Open transactions that have written: what the creation of a slot waits for, and what holds back
//! the WAL that a slot keeps.
//!
//! They are found by the lock that each holds on its own transaction id, which every role may see.
//! Names and ages need pg_monitor (or the same role) and are missing without it.

use std::fmt;
use std::time::Duration;

use crate::control::{ControlError, ControlSession};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenTransaction {
    pub holder: Holder,
    pub user: Option<String>,
    pub application: Option<String>,
    pub age: Option<Duration>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    Session {
        pid: i32,
    },
    /// Nobody is connected: it waits for COMMIT PREPARED or ROLLBACK PREPARED.
    Prepared {
        gid: String,
    },
}

/// Writing transactions of the whole server, the oldest first.
pub async fn open_writers(session: &ControlSession) -> Result<Vec<OpenTransaction>, ControlError> {
    let rows = session.rows(OPEN_WRITERS, &[]).await?;
    let writers = rows.iter().map(|row| {
        let (pid, gid): (Option<i32>, Option<String>) = (row.try_get("pid")?, row.try_get("gid")?);
        let holder = match gid {
            Some(gid) => Holder::Prepared { gid },
            None => Holder::Session { pid: pid.unwrap_or_default() },
        };
        Ok(OpenTransaction {
            holder,
            user: row.try_get("username")?,
            application: row.try_get("application")?,
            age: row.try_get::<_, Option<f64>>("age_seconds")?.and_then(age),
        })
    });
    writers.collect()
}

/// The age of the oldest writing transaction; zero when there is none.
pub async fn oldest_age(session: &ControlSession) -> Result<Duration, ControlError> {
    let writers = open_writers(session).await?;
    Ok(writers.iter().filter_map(|writer| writer.age).max().unwrap_or_default())
}

/// The transactions in one line.
pub fn describe(transactions: &[OpenTransaction]) -> String {
    let each: Vec<_> = transactions.iter().map(ToString::to_string).collect();
    each.join("; ")
}

impl fmt::Display for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Session { pid } => write!(f, "pid {pid}")?,
            Holder::Prepared { gid } => write!(f, "prepared transaction {gid:?}")?,
        }
        if let Some(user) = &self.user {
            write!(f, " of {user}")?;
        }
        if let Some(application) = &self.application {
            write!(f, " ({application})")?;
        }
        match self.age {
            Some(age) => write!(f, ", open for {} s", age.as_secs()),
            None => Ok(()),
        }
    }
}

/// The clock of the server can step back while a transaction is open.
fn age(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

const OPEN_WRITERS: &str = "
    select l.pid, null::text as gid, a.usename::text as username,
           nullif(a.application_name, '') as application,
           extract(epoch from clock_timestamp() - a.xact_start)::float8 as age_seconds
      from (select distinct pid
              from pg_locks
             where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted
               and pid is not null and pid <> pg_backend_pid()) l
      left join pg_stat_activity a using (pid)
    union all
    select null, gid, owner::text, null,
           extract(epoch from clock_timestamp() - prepared)::float8
      from pg_prepared_xacts
     order by age_seconds desc nulls last";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_holds_it_as_far_as_known() {
        let mut transaction = OpenTransaction {
            holder: Holder::Session { pid: 42 },
            user: Some("shop".to_owned()),
            application: Some("batch".to_owned()),
            age: Some(Duration::from_secs(90)),
        };
        assert_eq!(transaction.to_string(), "pid 42 of shop (batch), open for 90 s");
        transaction.holder = Holder::Prepared { gid: "t1".to_owned() };
        (transaction.user, transaction.application, transaction.age) = (None, None, None);
        assert_eq!(transaction.to_string(), "prepared transaction \"t1\"");
    }

    #[test]
    fn a_clock_that_stepped_back_is_no_age() {
        assert_eq!(age(-3.0), Some(Duration::ZERO));
        assert_eq!(age(f64::NAN), Some(Duration::ZERO));
    }
}

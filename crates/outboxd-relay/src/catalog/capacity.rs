//! Whether the server has room for one more slot and one more walsender.

use outboxd_core::stop::{Code, Stop};

use crate::control::{ControlError, ControlSession};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// `max_replication_slots`
    pub slots_max: i64,
    pub slots: Vec<SlotUse>,
    /// `max_wal_senders`
    pub walsenders_max: i64,
    pub walsenders: i64,
}

/// A slot of the server, of whatever kind and database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SlotUse {
    pub name: String,
    pub active: bool,
    /// Printed by the server: `16 MB`.
    pub retained_wal: Option<String>,
}

impl Capacity {
    pub async fn read(session: &ControlSession) -> Result<Self, ControlError> {
        let limits = session.row(LIMITS, &[]).await?;
        let rows = session.rows(&slots_query(), &[]).await?;
        let slots = rows.iter().map(|row| {
            Ok(SlotUse {
                name: row.try_get("name")?,
                active: row.try_get("active")?,
                retained_wal: row.try_get("retained_wal")?,
            })
        });
        Ok(Self {
            slots_max: limits.try_get("slots_max")?,
            slots: slots.collect::<Result<_, ControlError>>()?,
            walsenders_max: limits.try_get("walsenders_max")?,
            walsenders: limits.try_get("walsenders")?,
        })
    }

    /// Whether a slot can be created.
    pub fn check_free_slot(&self) -> Result<(), Stop> {
        if i64::try_from(self.slots.len()).is_ok_and(|used| used < self.slots_max) {
            return Ok(());
        }
        let used: Vec<_> = self.slots.iter().map(SlotUse::describe).collect();
        let list = if used.is_empty() { "none exists".to_owned() } else { used.join(", ") };
        Err(Stop::new(Code::NoFreeSlot, "the server has no free replication slot")
            .detail(format!("max_replication_slots is {}; {list}", self.slots_max))
            .hint(
                "drop a slot that nobody needs (select pg_drop_replication_slot('name')), \
                 or raise max_replication_slots and restart the server",
            ))
    }

    /// Whether a replication connection can be opened.
    pub fn check_free_walsender(&self) -> Result<(), Stop> {
        if self.walsenders < self.walsenders_max {
            return Ok(());
        }
        let detail = format!(
            "max_wal_senders is {}, and {} are in use (see pg_stat_replication)",
            self.walsenders_max, self.walsenders
        );
        Err(Stop::new(Code::NoFreeSlot, "the server has no free replication connection")
            .detail(detail)
            .hint("end a replication connection, or raise max_wal_senders and restart the server"))
    }
}

impl SlotUse {
    fn describe(&self) -> String {
        let Self { name, active, retained_wal } = self;
        let active = if *active { "active" } else { "inactive" };
        match retained_wal {
            Some(size) => format!("{name} ({active}, holds {size} of WAL)"),
            None => format!("{name} ({active})"),
        }
    }
}

fn slots_query() -> String {
    format!(
        "select slot_name::text as name, active,
                pg_size_pretty(({}) - restart_lsn) as retained_wal
           from pg_replication_slots
          order by slot_name",
        super::server::WAL_END
    )
}

const LIMITS: &str = "
    select current_setting('max_replication_slots')::int8 as slots_max,
           current_setting('max_wal_senders')::int8 as walsenders_max,
           (select count(*) from pg_stat_replication) as walsenders";

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(slots_max: i64, walsenders: i64) -> Capacity {
        let slot = |name: &str, active, retained: Option<&str>| SlotUse {
            name: name.to_owned(),
            active,
            retained_wal: retained.map(str::to_owned),
        };
        let slots = vec![slot("a", true, Some("16 MB")), slot("b", false, None)];
        Capacity { slots_max, slots, walsenders_max: 10, walsenders }
    }

    #[test]
    fn the_last_place_can_be_taken_and_no_more() {
        assert_eq!(capacity(3, 9).check_free_slot(), Ok(()));
        assert_eq!(capacity(3, 9).check_free_walsender(), Ok(()));
        assert_eq!(capacity(2, 10).check_free_slot().unwrap_err().code, Code::NoFreeSlot);
        assert_eq!(capacity(2, 10).check_free_walsender().unwrap_err().code, Code::NoFreeSlot);
    }

    #[test]
    fn the_slots_in_use_are_listed() {
        let detail = capacity(2, 0).check_free_slot().unwrap_err().detail.unwrap();
        let expected = "max_replication_slots is 2; a (active, holds 16 MB of WAL), b (inactive)";
        assert_eq!(detail, expected);
    }
}

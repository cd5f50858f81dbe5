//! `setup --print`: the plan as SQL, which can be piped into psql.

use std::fmt;

use super::plan::{NewSlot, SetupPlan, Statement};
use super::sql::literal;

impl fmt::Display for SetupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "-- nothing to do");
        }
        for Statement { what, sql } in &self.statements {
            writeln!(f, "-- {}\n{sql}\n", one_line(what))?;
        }
        if let Some(topic) = &self.progress_topic {
            writeln!(
                f,
                "-- then, in Kafka: topic {}, one partition, compacted\n",
                one_line(topic)
            )?;
        }
        if let Some(slot) = &self.slot {
            writeln!(
                f,
                "-- slot {}, in a transaction of its own\n{}",
                one_line(&slot.name),
                slot.sql()
            )?;
        }
        Ok(())
    }
}

impl NewSlot {
    fn sql(&self) -> String {
        let failover = if self.failover { ", failover => true" } else { "" };
        format!(
            "select pg_create_logical_replication_slot({}, 'pgoutput'{failover});",
            literal(&self.name)
        )
    }
}

/// Nothing may leave a comment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

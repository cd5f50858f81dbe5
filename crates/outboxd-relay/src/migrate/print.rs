//! The files as other tools want them, for a database that has none of them yet.

use std::path::PathBuf;

use outboxd_core::stop::Stop;

use super::observe::Observed;
use super::plan::{Step, Wish, plan};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Files in their order.
    Sql,
    /// `V<version>__<name>.sql`
    Flyway,
    /// `<version>_<name>.sql`
    Sqlx,
    /// `<version>_<name>/up.sql`
    Diesel,
}

/// A file to be written, by its path below the folder of the tool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Printed {
    pub path: PathBuf,
    pub text: String,
}

pub fn print(wish: &Wish, format: Format) -> Result<Vec<Printed>, Stop> {
    let nothing = Observed {
        superuser: true,
        may_create_roles: true,
        may_create_schemas: true,
        ..Observed::default()
    };
    let plan = plan(wish, &nothing)?;
    Ok(plan.steps().flat_map(|step| printed(step, format)).collect())
}

fn printed(step: &Step, format: Format) -> Vec<Printed> {
    let version = step.migration.version;
    let name = step.migration.name.replace('/', "_");
    let text = format!("-- outboxd: {}\n{}\n", step.migration.what, step.sql);
    let file = |path: String, text: String| Printed { path: path.into(), text };
    match format {
        Format::Sql | Format::Sqlx => vec![file(format!("{version}_{name}.sql"), text)],
        Format::Flyway => vec![file(format!("V{version}__{name}.sql"), text)],
        Format::Diesel => vec![
            file(format!("{version}_{name}/up.sql"), text),
            file(format!("{version}_{name}/down.sql"), NO_WAY_BACK.to_owned()),
        ],
    }
}

/// Diesel asks for a way back; this one would throw away events that nobody has published yet.
const NO_WAY_BACK: &str = "-- outboxd: there is no way back that could not lose events\n\
     do $$ begin raise exception 'outboxd: drop the schema by hand when its events were published'; end $$;\n";

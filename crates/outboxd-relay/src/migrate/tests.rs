use std::collections::{BTreeMap, BTreeSet};

use outboxd_core::stop::{Code, Stop};

use super::files::{BOOK, Migration};
use super::observe::{Entry, Events, Observed, SchemaState};
use super::print::{Format, print};
use super::status::{FileState, Status};
use super::{Part, Variant, Wish, check_rights, plan};

fn wish(variant: Option<Variant>) -> Wish {
    Wish { parts: vec![Part::Outbox, Part::DeadLetters], variant, schema: None, roles: false }
}

fn nothing() -> Observed {
    Observed {
        own_role: "me".to_owned(),
        may_create_schemas: true,
        may_create_roles: true,
        ..Observed::default()
    }
}

/// After everything of a plan on an empty database was applied.
fn after(wish: &Wish) -> Observed {
    let mut schemas = BTreeMap::new();
    for step in plan(wish, &nothing()).unwrap().steps() {
        let state = schemas.entry(step.schema.clone()).or_insert_with(|| SchemaState {
            owner: Some("me".to_owned()),
            is_own: true,
            book: Some(BTreeMap::new()),
            events: Events::Other,
            dead_letters: true,
            messages: true,
        });
        let entry = Entry { checksum: step.migration.checksum(), applied_at: "then".to_owned() };
        state.book.as_mut().unwrap().insert(step.migration.name.to_owned(), entry);
    }
    Observed { schemas, ..nothing() }
}

fn state(observed: &mut Observed) -> &mut SchemaState {
    observed.schemas.values_mut().next().unwrap()
}

fn names(wish: &Wish, observed: &Observed) -> Vec<&'static str> {
    plan(wish, observed).unwrap().steps().map(|step| step.migration.name).collect()
}

fn stop(wish: &Wish, observed: &Observed) -> Stop {
    let stop = plan(wish, observed).unwrap_err();
    assert!(stop.hint.is_some(), "{stop:?}");
    stop
}

/// Every file that a list of some variant names.
fn all() -> BTreeSet<(&'static str, &'static str)> {
    let mut files = BTreeSet::from([("book", BOOK), ("roles", super::files::ROLES.sql)]);
    for (part, variant) in Part::ALL.into_iter().flat_map(|part| Variant::ALL.map(|v| (part, v))) {
        let lists = part.tables(variant).into_iter().chain(part.rights(variant));
        files.extend(lists.map(|file: &Migration| (file.name, file.sql)));
    }
    files
}

#[test]
fn an_empty_database_gets_every_file_in_its_order() {
    assert_eq!(
        names(&wish(None), &nothing()),
        [
            "outbox/0001_schema",
            "outbox/rotating/0001_events",
            "outbox/0002_guards",
            "outbox/rotating/0002_rotate",
            "outbox/0003_emit",
            "dead_letters/0001_dead_letters",
        ]
    );
    for variant in Variant::ALL {
        let wish = Wish { roles: true, ..wish(Some(variant)) };
        let plan = plan(&wish, &nothing()).unwrap();
        let versions: Vec<_> = plan.steps().map(|step| step.migration.version).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{variant}: {versions:?}");
        let books = plan.steps().filter(|step| step.sql.contains("create table if not exists"));
        assert_eq!(books.count(), 1, "{variant}");
    }
}

#[test]
fn a_second_run_has_nothing_to_do() {
    for variant in Variant::ALL {
        let mut wish = wish(Some(variant));
        let observed = after(&wish);
        assert_eq!(names(&wish, &observed), Vec::<&str>::new());
        // Whoever does not name a variant means the one that is there.
        wish.variant = None;
        assert_eq!(names(&wish, &observed), Vec::<&str>::new());
    }
}

#[test]
fn what_is_there_is_not_turned_into_something_else() {
    let observed = after(&wish(Some(Variant::Plain)));
    let stop = stop(&wish(Some(Variant::View)), &observed);
    assert_eq!(
        (stop.code, stop.message.as_str()),
        (Code::Migration, "outbox.events is plain, not view")
    );
}

#[test]
fn a_file_that_is_not_the_one_applied_is_an_error() {
    let mut observed = after(&wish(None));
    let book = state(&mut observed).book.as_mut().unwrap();
    book.get_mut("outbox/0002_guards").unwrap().checksum = "0".to_owned();
    let stop = stop(&wish(None), &observed);
    assert_eq!(stop.code, Code::Migration);
    assert_eq!(stop.message, "outbox/0002_guards is not the file that was applied");
    let status = Status::of(&wish(None), &observed).unwrap();
    assert!(!status.is_complete());
    assert_eq!(status.parts[0].files[2].state, FileState::Changed);
}

#[test]
fn what_others_made_is_left_alone() {
    let mut observed = after(&wish(None));
    *state(&mut observed) = SchemaState {
        owner: Some("me".to_owned()),
        is_own: true,
        events: Events::Other,
        ..SchemaState::default()
    };
    let stop = stop(&wish(None), &observed);
    assert_eq!(stop.message, "outbox.events exists, and outboxd did not make it");
    let letters = Wish { parts: vec![Part::DeadLetters], ..wish(None) };
    assert_eq!(
        names(&letters, &observed),
        ["outbox/0001_schema", "dead_letters/0001_dead_letters"]
    );
}

#[test]
fn a_dropped_table_is_not_made_anew_on_the_quiet() {
    let mut observed = after(&wish(None));
    state(&mut observed).events = Events::Missing;
    assert!(stop(&wish(None), &observed).message.starts_with("outbox.events was dropped"));
}

#[test]
fn who_may_not_is_told_before_anything_is_tried() {
    let refused = |wish: &Wish, observed: &Observed| {
        let stop = check_rights(&plan(wish, observed).unwrap(), observed).unwrap_err();
        (stop.code, stop.message)
    };
    let poor = Observed { may_create_schemas: false, ..nothing() };
    assert_eq!(refused(&wish(None), &poor).0, Code::Permission);
    let mut foreign = after(&wish(None));
    *state(&mut foreign) = SchemaState { owner: Some("them".to_owned()), ..SchemaState::default() };
    let message = "the schema outbox belongs to \"them\"".to_owned();
    assert_eq!(refused(&wish(None), &foreign), (Code::Permission, message));
    let unprivileged = Observed { may_create_roles: false, ..nothing() };
    let roles = Wish { roles: true, ..wish(None) };
    assert_eq!(refused(&roles, &unprivileged).0, Code::Permission);
    assert_eq!(check_rights(&plan(&roles, &nothing()).unwrap(), &nothing()), Ok(()));
}

#[test]
fn another_schema_has_a_book_of_its_own_and_dead_letters_stay_where_relays_look() {
    let wish = Wish { schema: Some("shop".parse().unwrap()), roles: true, ..wish(None) };
    let plan = plan(&wish, &nothing()).unwrap();
    let schemas: Vec<_> = plan.tables.iter().map(|step| step.schema.as_str()).collect();
    assert_eq!(schemas, ["shop", "shop", "shop", "shop", "shop", "outbox", "outbox"]);
    for step in plan.steps().filter(|step| step.schema.as_str() == "shop") {
        let sql = &step.sql;
        assert!(!sql.contains("outbox.") && !sql.contains("schema outbox;"), "{sql}");
    }
}

#[test]
fn status_counts_a_part_that_was_begun_or_asked_for() {
    let outbox = Wish { parts: vec![Part::Outbox], ..wish(None) };
    let observed = after(&outbox);
    assert!(Status::of(&wish(None), &observed).unwrap().is_complete());
    assert!(Status::of(&outbox, &observed).unwrap().is_complete());
    let letters = Wish { parts: vec![Part::DeadLetters], ..wish(None) };
    assert!(!Status::of(&letters, &observed).unwrap().is_complete());
    assert!(!Status::of(&wish(None), &nothing()).unwrap().is_complete());
    insta::assert_snapshot!(Status::of(&wish(None), &observed).unwrap());
}

#[test]
fn other_tools_find_their_names() {
    let paths = |format| {
        let printed = print(&wish(Some(Variant::Plain)), format).unwrap();
        printed.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(paths(Format::Flyway)[1], "V20261130010200__outbox_plain_0001_events.sql");
    assert_eq!(paths(Format::Sqlx)[1], "20261130010200_outbox_plain_0001_events.sql");
    let diesel = paths(Format::Diesel);
    assert_eq!(diesel[2], "20261130010200_outbox_plain_0001_events/up.sql");
    assert_eq!(diesel[3], "20261130010200_outbox_plain_0001_events/down.sql");
    assert_eq!(diesel.len(), 2 * paths(Format::Sql).len());
}

/// Flyway replaces what looks like a placeholder, and psql what looks like a variable.
#[test]
fn files_are_plain_lowercase_ascii() {
    let files = all();
    assert!(files.len() > 12, "{}", files.len());
    for (name, sql) in files {
        assert!(sql.is_ascii() && !sql.contains("${") && !sql.contains('\r'), "{name}");
        for keyword in ["CREATE ", "SELECT ", "ALTER ", "GRANT ", "INSERT "] {
            assert!(!sql.contains(keyword), "{name}: {keyword}");
        }
    }
}

#[test]
fn every_object_has_a_comment() {
    for (name, sql) in all() {
        for line in sql.lines() {
            let Some(rest) = line.strip_prefix("create ") else { continue };
            let rest = rest.replace("if not exists ", "");
            let mut words = rest.split([' ', '(', ';']);
            let (kind, object) = (words.next().unwrap(), words.next().unwrap());
            let comment = format!("comment on {kind} ");
            let has_one = sql
                .lines()
                .any(|line| line.strip_prefix(&comment).is_some_and(|rest| rest.contains(object)));
            assert!(has_one, "{name}: {kind} {object}");
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::pgoutput::Cell;
use crate::relation::{ColumnNames, ExtraColumn};

fn columns() -> NamedColumns {
    let extra = vec![ExtraColumn { column: "trace".to_owned(), header: "trace".to_owned() }];
    NamedColumns::new(&ColumnNames { extra, ..ColumnNames::default() })
}

/// The columns that were given, with their bytes.
fn given(values: &Values) -> Vec<(String, Option<Vec<u8>>)> {
    let columns = columns();
    let cells = columns.columns().iter().zip(values.cells()).enumerate();
    let given = cells.filter(|(position, _)| values.is_given(*position));
    let value = |cell| match cell {
        Cell::Text(text) => Some(text.to_vec()),
        _ => None,
    };
    given.map(|(_, (column, cell))| (column.name.clone(), value(cell))).collect()
}

fn read_text(content: &str) -> (Result<(), ContentError>, Values) {
    let mut values = Values::default();
    let result = read(content.as_bytes(), &columns(), &mut values);
    (result, values)
}

/// All columns that a message must have, and `more`.
fn whole(more: &str) -> String {
    format!(
        r#"{{"v":1,"row":{{"id":"1f","aggregatetype":"order","aggregateid":null,
        "type":"Placed","payload":"{{\"a\": 1}}","trace":"t"}}{more}}}"#
    )
}

#[test]
fn values_are_taken_as_postgres_printed_them() {
    let (result, values) = read_text(&whole(""));
    assert_eq!(result, Ok(()));
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let expected = [
        ("id", text("1f")),
        ("aggregatetype", text("order")),
        ("aggregateid", None),
        ("type", text("Placed")),
        ("payload", text(r#"{"a": 1}"#)),
        ("trace", text("t")),
    ];
    assert_eq!(given(&values), expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn marked_columns_are_decoded_wherever_the_mark_stands() {
    let content = |before: &str, behind: &str| {
        format!(
            r#"{{"v":1,{before}"row":{{"id":"1","aggregatetype":"o","aggregateid":"k","type":"T",
            "payload":"\\x00ff","trace":"\\x7b"}}{behind}}}"#
        )
    };
    let mark = r#""bytea":["payload","nobody's"]"#;
    for text in [content(&format!("{mark},"), ""), content("", &format!(",{mark}"))] {
        let (result, values) = read_text(&text);
        assert_eq!(result, Ok(()), "{text}");
        let given = given(&values);
        assert_eq!(given[4].1.as_deref(), Some(&[0x00, 0xff][..]));
        assert_eq!(given[5].1.as_deref(), Some(&br"\x7b"[..]), "not marked");
    }
}

#[test]
fn what_nobody_asks_for_is_passed_over() {
    let row = whole(r#","w":[1,{"v":2}]"#).replacen("\"id\"", r#""later":{"x":[]},"id""#, 1);
    assert_eq!(read_text(&row).0, Ok(()));
}

#[test]
fn what_is_no_row_is_said_without_its_values() {
    for (content, error) in [
        ("", "is not JSON: EOF while parsing a value at line 1 column 0"),
        ("secret", "is not JSON: expected value at line 1 column 1"),
        (r#""secret""#, r#"is not of the form {"v":1,"row":{…}}"#),
        ("[]", r#"is not of the form {"v":1,"row":{…}}"#),
        ("{}", r#"has no member "v""#),
        (r#"{"v":1}"#, r#"has no member "row""#),
        (r#"{"v":2,"row":["secret"]}"#, "is of version 2, and only version 1 is known"),
        (r#"{"v":"secret"}"#, r#"is not of the form {"v":1,"row":{…}}"#),
        (r#"{"v":1,"row":"secret"}"#, r#"is not of the form {"v":1,"row":{…}}"#),
        (r#"{"v":1,"v":1,"row":{}}"#, r#"gives "v" twice"#),
        (r#"{"v":1,"row":{"id":"1","id":"2"}}"#, r#"gives "id" twice"#),
        (r#"{"v":1,"row":{"id":7}}"#, r#"has neither text nor null in column "id""#),
        (r#"{"v":1,"row":{"payload":{"secret":1}}}"#, r#"in column "payload""#),
        (r#"{"v":1,"row":{"payload":["secret"]}}"#, r#"in column "payload""#),
        (r#"{"v":1,"row":{"id":"1"}}"#, r#"has no column "aggregatetype""#),
        (&whole(r#","bytea":["payload"]"#), r#"column "payload" is not bytea in hex form"#),
        (&whole(r#","bytea":"payload""#), r#"is not of the form {"v":1,"row":{…}}"#),
        (&format!("{} secret", whole("")), "is not JSON: trailing characters"),
    ] {
        let found = read_text(content).0.unwrap_err().to_string();
        assert!(found.contains(error), "{content}: {found}");
        assert!(!found.contains("secret"), "{found}");
    }
    let mut values = Values::default();
    assert_eq!(read(b"{\"v\xff", &columns(), &mut values), Err(ContentError::NotUtf8));
}

#[test]
fn what_was_read_before_the_error_is_kept() {
    let content = whole("");
    let (result, values) = read_text(&content[..content.find("payload").unwrap()]);
    assert!(matches!(result, Err(ContentError::NotJson(_))), "{result:?}");
    let names: Vec<_> = given(&values).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["id", "aggregatetype", "aggregateid", "type"]);
}

#[test]
fn a_large_message_does_not_keep_its_memory() {
    let content = whole("").replace("{\\\"a\\\": 1}", &"x".repeat(1 << 20));
    let (result, mut values) = read_text(&content);
    assert_eq!(result, Ok(()));
    values.shrink_to(1 << 10);
    assert_eq!(values.cells().count(), 0);
    assert!(format!("{values:?}").len() < 200, "empty");
}

proptest! {
    #[test]
    fn any_text_comes_through(payload in any::<String>(), id in any::<String>()) {
        let row = serde_json::json!({
            "id": id, "aggregatetype": "o", "aggregateid": null, "type": "T", "payload": payload,
            "trace": "",
        });
        let content = serde_json::json!({ "row": row, "v": 1 }).to_string();
        let (result, values) = read_text(&content);
        prop_assert_eq!(result, Ok(()));
        let given = given(&values);
        prop_assert_eq!(given[0].1.as_deref(), Some(id.as_bytes()));
        prop_assert_eq!(given[4].1.as_deref(), Some(payload.as_bytes()));
    }

    #[test]
    fn no_content_panics(content in any::<Vec<u8>>(), cut in 0..400_usize, at in 0..400_usize) {
        let mut values = Values::default();
        read(&content, &columns(), &mut values).ok();
        let mut mutated = whole(r#","bytea":["trace"]"#).into_bytes();
        let at = at.min(mutated.len() - 1);
        mutated[at] = mutated[at].wrapping_add(content.first().copied().unwrap_or(1));
        mutated.truncate(cut);
        read(&mutated, &columns(), &mut values).ok();
    }
}

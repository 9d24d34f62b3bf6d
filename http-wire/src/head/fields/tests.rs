//! What the fields of a head promise to those who read and edit them.

use super::*;

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in list {
        fields
            .push(name.as_bytes(), value.as_bytes())
            .expect("legal field");
    }
    fields
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|field| (text(field.name), text(field.value)))
        .collect()
}

#[test]
fn names_are_lower_case_and_found_in_any_case() {
    let fields = fields(&[("X-Team", "a"), ("HOST", "h"), ("x-team", "b")]);
    assert_eq!(fields.get("X-TEAM"), Some(&b"a"[..]));
    assert_eq!(fields.get_all("x-team").collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(fields.get(FieldId::Host), fields.get("Host"));
    assert_eq!(listed(&fields)[1], ("host".into(), "h".into()));
}

#[test]
fn nothing_that_splits_a_message_is_stored() {
    let mut fields = Fields::default();
    for name in ["", "a b", "a:", "a\r\n", "ä"] {
        assert_eq!(
            fields.push(name.as_bytes(), b"v"),
            Err(Invalid::Name),
            "{name:?}"
        );
    }
    for value in [
        &b"a\r\nb: c"[..],
        b"a\nb",
        b"a\rb",
        b"a\0b",
        b"\x7f",
        b"\x1b",
    ] {
        assert_eq!(fields.append("x", value), Err(Invalid::Value), "{value:?}");
        assert_eq!(fields.set("x", value), Err(Invalid::Value), "{value:?}");
    }
    assert!(fields.is_empty());
    assert!(fields.append("x", b" tab\tand \xc3\xa4 ").is_ok());
    assert_eq!(fields.get("x"), Some(&b"tab\tand \xc3\xa4"[..]));
}

#[test]
fn set_replaces_all_of_the_name_and_nothing_else() {
    let mut fields = fields(&[("a", "1"), ("b", "2"), ("a", "3")]);
    fields.set("A", b"4").expect("legal field");
    assert_eq!(
        listed(&fields),
        [("b".into(), "2".into()), ("a".into(), "4".into())]
    );
    fields.set(FieldId::Via, b"x").expect("legal field");
    assert_eq!(fields.len(), 3);
}

#[test]
fn a_refused_set_changes_nothing() {
    let mut fields = fields(&[("a", "1")]);
    assert!(fields.set("a", b"\n").is_err());
    assert_eq!(listed(&fields), [("a".into(), "1".into())]);
}

#[test]
fn remove_says_whether_there_was_one() {
    let mut fields = fields(&[("a", "1"), ("cookie", "2"), ("a", "3")]);
    assert!(fields.remove("a"));
    assert!(!fields.remove("a"));
    assert!(fields.remove(FieldId::Cookie));
    assert!(fields.is_empty());
}

#[test]
fn clear_keeps_the_capacity() {
    let mut fields = fields(&[("a", "1")]);
    let capacity = (fields.bytes.capacity(), fields.entries.capacity());
    fields.clear();
    assert!(fields.is_empty());
    assert_eq!(
        capacity,
        (fields.bytes.capacity(), fields.entries.capacity())
    );
}

#[test]
fn a_head_that_outgrows_its_buffer_is_refused() {
    let mut fields = Fields::default();
    let value = vec![b'a'; MAX_BYTES];
    assert_eq!(fields.push(b"x", &value), Err(Invalid::TooLarge));
    assert!(fields.is_empty());
}

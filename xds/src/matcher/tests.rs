use super::*;

struct Head {
    method: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

impl RequestView for Head {
    fn host(&self) -> &'static str {
        "a.example"
    }
    fn method(&self) -> &str {
        self.method
    }
    fn path(&self) -> &'static str {
        "/"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(",").into_bytes()))
    }
}

fn text(kind: StringMatchKind) -> HeaderCondition {
    HeaderCondition::Text(StringMatch {
        kind,
        ignore_case: false,
    })
}

fn exact(value: &str) -> HeaderCondition {
    text(StringMatchKind::Exact(value.as_bytes().into()))
}

fn on(name: &str, condition: HeaderCondition) -> HeaderMatch {
    HeaderMatch {
        key: HeaderKey::Field(name.into()),
        condition,
        invert: false,
        missing_as_empty: false,
    }
}

fn head(headers: &[(&'static str, &'static str)]) -> Head {
    Head {
        method: "GET",
        headers: headers.to_vec(),
    }
}

#[test]
fn an_inverted_value_condition_does_not_match_a_missing_header() {
    let inverted = HeaderMatch {
        invert: true,
        ..on("x", exact("1"))
    };
    assert!(!inverted.matches(&head(&[])));
    assert!(inverted.matches(&head(&[("x", "2")])));
    assert!(!inverted.matches(&head(&[("x", "1")])));
}

#[test]
fn a_missing_header_that_counts_as_empty_is_judged_as_empty() {
    let inverted = HeaderMatch {
        invert: true,
        missing_as_empty: true,
        ..on("x", exact("1"))
    };
    assert!(inverted.matches(&head(&[])));
    let empty = HeaderMatch {
        missing_as_empty: true,
        ..on("x", exact(""))
    };
    assert!(empty.matches(&head(&[])));
}

#[test]
fn presence_can_be_asked_for_both_ways() {
    assert!(on("x", HeaderCondition::Present(true)).matches(&head(&[("x", "")])));
    assert!(on("x", HeaderCondition::Present(false)).matches(&head(&[])));
    let inverted = HeaderMatch {
        invert: true,
        ..on("x", HeaderCondition::Present(true))
    };
    assert!(inverted.matches(&head(&[])));
}

#[test]
fn repeated_headers_are_joined_before_they_are_judged() {
    assert!(on("x", exact("1,2")).matches(&head(&[("x", "1"), ("x", "2")])));
}

#[test]
fn a_range_takes_whole_numbers_from_start_to_before_end() {
    let range = on("n", HeaderCondition::Range(-1..10));
    for (value, wanted) in [
        ("-1", true),
        ("9", true),
        ("10", false),
        ("1.5", false),
        ("", false),
        ("x", false),
    ] {
        assert_eq!(range.matches(&head(&[("n", value)])), wanted, "{value}");
    }
}

#[test]
fn text_kinds_compare_as_their_names_say() {
    let cases = [
        (StringMatchKind::Prefix((*b"ab").into()), "abc", true),
        (StringMatchKind::Prefix((*b"ab").into()), "cab", false),
        (StringMatchKind::Suffix((*b"ab").into()), "cab", true),
        (StringMatchKind::Contains((*b"b").into()), "abc", true),
        (StringMatchKind::Contains((*b"").into()), "", true),
        (StringMatchKind::Contains((*b"x").into()), "abc", false),
    ];
    for (kind, value, wanted) in cases {
        assert_eq!(
            StringMatch {
                kind: kind.clone(),
                ignore_case: false
            }
            .matches(value.as_bytes()),
            wanted,
            "{kind:?}"
        );
    }
    let caseless = StringMatch {
        kind: StringMatchKind::Exact((*b"abc").into()),
        ignore_case: true,
    };
    assert!(caseless.matches(b"aBC"));
}

#[test]
fn only_the_first_value_of_a_repeated_parameter_counts_and_nothing_is_decoded() {
    let value = |text: &str| StringMatch {
        kind: StringMatchKind::Exact(text.as_bytes().into()),
        ignore_case: false,
    };
    let lang = |text| QueryMatch {
        name: "lang".into(),
        value: Some(value(text)),
    };
    assert!(lang("de").matches(Some("lang=de&lang=en")));
    assert!(!lang("en").matches(Some("lang=de&lang=en")));
    assert!(!lang("de").matches(Some("lang=%64e")));
    assert!(!lang("de").matches(None));
    let present = QueryMatch {
        name: "debug".into(),
        value: None,
    };
    assert!(present.matches(Some("a=1&debug")));
    assert!(!present.matches(Some("a=1&debugger=1")));
}

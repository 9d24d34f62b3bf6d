use super::*;

fn check(rule: fn(&str) -> Verdict, good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(rule(text), Ok(()), "{text:?}");
    }
    for text in bad {
        assert!(rule(text).is_err(), "{text:?} must be refused");
    }
}

#[test]
fn a_name_is_a_dns_label_in_lower_case() {
    let long = "a".repeat(NAME_MAX + 1);
    check(
        name,
        &["a", "catalog-next", "0", &long[1..]],
        &["", "-a", "a-", "A", "a.b", "a/b", "é", &long],
    );
}

#[test]
fn a_host_has_its_wildcard_at_one_end_and_no_port() {
    check(
        host_pattern,
        &[
            "*",
            "shop.example",
            "*.shop.example",
            "shop.*",
            "127.0.0.1",
            "[::1]",
            "localhost",
            "a_b.c",
        ],
        &[
            "",
            "*.",
            "a.*.b",
            "*a.b",
            "a*",
            "*.*",
            "shop.example:80",
            "Shop.example",
            "a..b",
            ".a",
            "a b",
            "[::0001]",
            "[::1]:80",
            "::1",
        ],
    );
}

#[test]
fn a_path_is_one_that_a_canonical_request_can_have() {
    check(
        path,
        &["/", "/a", "/a/", "/a/b.c", "/%41", "/a:b@c", "/..a"],
        &[
            "",
            "a",
            "/a?b",
            "/a#b",
            "//a",
            "/a/../b",
            "/a/.",
            "/%2E%2e/a",
            "/a b",
            "/é",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
        ],
    );
    check(segment_prefix, &["/", "/a"], &["/a/"]);
}

#[test]
fn a_header_that_frames_or_routes_the_message_is_not_edited() {
    check(
        editable_header_name,
        &["x-a", "Via"],
        &[
            "",
            "a b",
            ":path",
            "Host",
            "Content-Length",
            "transfer-encoding",
        ],
    );
    check(header_value, &["a", "a b", "100%"], &["", " a", "a\n", "é"]);
}

#[test]
fn a_method_is_in_capitals_and_never_connect() {
    check(method, &["GET", "M-SEARCH"], &["", "get", "CONNECT", "G T"]);
}

#[test]
fn a_query_name_has_no_separators() {
    check(
        query_name,
        &["lang", "a%20b", "a[]"],
        &["", "a=b", "a&b", "a b"],
    );
}

#[test]
fn a_name_to_look_up_is_no_address_and_has_no_port() {
    for name in [
        "localhost",
        "catalog.internal",
        "catalog.internal.",
        "_http._tcp.a",
    ] {
        assert_eq!(dns_name(name), Ok(()), "{name}");
    }
    for wrong in [
        "",
        ".",
        "a..b",
        "A.example",
        "a:80",
        "*.a",
        "192.0.2.1",
        "::1",
        "[::1]",
        "[a",
    ] {
        assert!(dns_name(wrong).is_err(), "{wrong}");
    }
}

//! Whole requests through `read`, and the rules of the canonical path.
//! The path table is what Envoy 1.40 answers with `normalize_path`, `merge_slashes` and escaped slashes rejected.

use super::Version::{Http2, Http10, Http11};
use super::*;
use proptest::prelude::*;

fn request(
    method: &str,
    version: Version,
    target: &[u8],
    hosts: &[&str],
) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::new();
    head.begin(method, version).expect("a token");
    for host in hosts {
        head.fields_mut()
            .append(FieldId::Host, host.as_bytes())
            .expect("a legal value");
    }
    read(&mut head, &Target::parse(target)?)?;
    Ok(head)
}

fn path(path: &[u8]) -> Result<String, Refusal> {
    request("GET", Http11, path, &["h"]).map(|head| head.path().to_owned())
}

#[test]
fn paths_read_as_envoy_reads_them() {
    let cases = [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/A/b", "/A/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a//../b", "/a/b"),
        ("/a/b/..//c", "/a/c"),
        ("//a///b//", "/a/b/"),
        ("/..", "/"),
        ("/../..", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/...", "/a/..."),
        ("/a/.b", "/a/.b"),
        ("/a%2e", "/a."),
        ("/%2e", "/"),
        ("/.//a", "/a"),
        ("/..//a", "/a"),
        ("/%41%7a%30%2D%5f%7E", "/Az0-_~"),
        ("/%2541", "/%2541"),
        ("/%25%32%65", "/%252e"),
        ("/a%3ab%3Ac", "/a%3ab%3Ac"),
        ("/%20%c3%A4", "/%20%c3%A4"),
        ("/a\"<>^`{|}b", "/a%22%3C%3E%5E%60%7B%7C%7Db"),
        ("/!$&'()*+,:;=@[]", "/!$&'()*+,:;=@[]"),
        ("/a\\b", "/a/b"),
        ("/a\\..\\b", "/b"),
        ("/\\\\a", "/a"),
        ("/a/..;/b", "/b"),
        ("/a/..;x=1/b", "/b"),
        ("/a/..;x=1", "/"),
        ("/a/.;x/b", "/a/b"),
        ("/a/..;x;y%41/b", "/b"),
        ("/a/;../b", "/a/;../b"),
        ("/a/b;../c", "/a/b;../c"),
        ("/a/b;x/../c", "/a/c"),
        ("/a/..%3b/b", "/a/..%3b/b"),
        ("/a/...;/b", "/a/...;/b"),
    ];
    for (given, canonical) in cases {
        assert_eq!(path(given.as_bytes()).as_deref(), Ok(canonical), "{given}");
    }
}

#[test]
fn an_escaped_dot_segment_with_parameters_is_one_too() {
    // Envoy gives `/a/..;x/b`, which a second proxy would read as `/b`.
    assert_eq!(path(b"/a/%2e%2e;x/b").as_deref(), Ok("/b"));
}

#[test]
fn ambiguous_paths_are_refused() {
    let cases = [
        (&b"/a%2fb"[..], Refusal::EscapedSlash),
        (b"/a%2Fb", Refusal::EscapedSlash),
        (b"/a/..%5Cb", Refusal::EscapedSlash),
        (b"/a%5cb", Refusal::EscapedSlash),
        (b"/a/..;%2f/b", Refusal::EscapedSlash),
        (b"/a%00", Refusal::EscapedNul),
        (b"/%", Refusal::PathEscape),
        (b"/%4", Refusal::PathEscape),
        (b"/%zz", Refusal::PathEscape),
        (b"/%%3761", Refusal::PathEscape),
        (b"/a#b", Refusal::Fragment),
        (b"/a?b#c", Refusal::Fragment),
        (b"/a b", Refusal::TargetByte),
        (b"/a\tb", Refusal::TargetByte),
        (b"/a\x7f", Refusal::TargetByte),
        (b"/a\r\nx: y", Refusal::TargetByte),
        (b"/\xc3\xa4", Refusal::TargetByte),
        (b"/a?\xff", Refusal::TargetByte),
        (b"/a?b c", Refusal::TargetByte),
        (b"", Refusal::TargetForm),
        (b"a", Refusal::TargetForm),
        (b"?x", Refusal::TargetForm),
        (b"*", Refusal::TargetForm),
        (b"*/a", Refusal::TargetForm),
        (b"\\a", Refusal::TargetForm),
        (b"h:443", Refusal::TargetForm),
        (b"ftp://h/a", Refusal::TargetForm),
    ];
    for (given, refusal) in cases {
        assert_eq!(
            path(given),
            Err(refusal),
            "{}",
            String::from_utf8_lossy(given)
        );
    }
}

#[test]
fn the_query_is_kept_byte_for_byte() {
    let head = request("GET", Http11, b"/a/../b?x=/../y&%2f%00?\\", &["h"]).expect("canonical");
    assert_eq!(
        (head.path(), head.query()),
        ("/b", Some("x=/../y&%2f%00?\\"))
    );
    assert_eq!(
        request("GET", Http11, b"/a?", &["h"])
            .expect("canonical")
            .query(),
        Some("")
    );
    assert_eq!(
        request("GET", Http11, b"/a", &["h"])
            .expect("canonical")
            .query(),
        None
    );
}

#[test]
fn the_asterisk_is_for_options_alone() {
    let head = request("OPTIONS", Http11, b"*", &["h"]).expect("canonical");
    assert_eq!(head.path(), "*");
}

#[test]
fn the_host_routes_in_lower_case_and_goes_upstream_as_sent() {
    let head = request("GET", Http11, b"/", &["Shop.Example.COM.:8080"]).expect("canonical");
    assert_eq!(
        (head.host(), head.authority()),
        ("shop.example.com", "Shop.Example.COM.:8080")
    );
    assert!(!head.fields().contains(FieldId::Host));
}

#[test]
fn exactly_one_valid_host() {
    let check = |version, target: &[u8], hosts: &[&str]| {
        request("GET", version, target, hosts).map(|head| head.host().to_owned())
    };
    assert_eq!(check(Http11, b"/", &[]), Err(Refusal::HostMissing));
    assert_eq!(check(Http11, b"http://h/", &[]), Err(Refusal::HostMissing));
    assert_eq!(check(Http11, b"/", &["a", "a"]), Err(Refusal::HostRepeated));
    assert_eq!(check(Http11, b"/", &[""]), Err(Refusal::HostInvalid));
    assert_eq!(check(Http11, b"/", &["u@h"]), Err(Refusal::HostInvalid));
    assert_eq!(check(Http10, b"/", &[]).as_deref(), Ok(""));
    assert_eq!(check(Http10, b"/", &[""]).as_deref(), Ok(""));
    assert_eq!(check(Http10, b"/", &["a,b"]), Err(Refusal::HostInvalid));
    assert_eq!(check(Http2, b"https://H/", &[]).as_deref(), Ok("h"));
    assert_eq!(check(Http2, b"/", &[]), Err(Refusal::HostMissing));
}

#[test]
fn an_absolute_target_wins_and_has_to_agree_with_host() {
    let check = |target: &[u8], host: &str| request("GET", Http11, target, &[host]);
    let head = check(b"http://H.example:80/a/../b?q", "h.example").expect("canonical");
    assert_eq!(
        (head.host(), head.authority(), head.path(), head.query()),
        ("h.example", "H.example:80", "/b", Some("q"))
    );
    assert_eq!(check(b"HTTP://h?q", "h").expect("canonical").path(), "/");
    for (target, host) in [
        (&b"http://a/"[..], "b"),
        (b"http://a:81/", "a"),
        (b"http://a/", "a:8080"),
    ] {
        assert_eq!(check(target, host).err(), Some(Refusal::HostMismatch));
    }
    for target in [
        &b"http:///a"[..],
        b"http://u@h/a",
        b"http://h:x/a",
        b"http://h\\@b/",
    ] {
        assert_eq!(check(target, "h").err(), Some(Refusal::HostInvalid));
    }
}

/// Text made of what canonical paths are about.
fn any_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("."),
        Just(".."),
        Just("%2e"),
        Just("%2E"),
        Just(";"),
        Just("\\"),
        Just("%25"),
        Just("%41"),
        Just("%3b"),
        Just("%20"),
        Just("a"),
        Just("B"),
        Just("{"),
        Just("2e"),
        Just("5c"),
        Just("%5B"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn a_canonical_path_is_canonical(given in any_path()) {
        let once = path(given.as_bytes()).expect("made of legal pieces");
        prop_assert_eq!(path(once.as_bytes()), Ok(once.clone()));
        prop_assert!(once.starts_with('/'));
        prop_assert!(!once.contains("//") && !once.contains('\\'));
        for segment in once.split('/') {
            prop_assert!(!matches!(segment.split(';').next(), Some("." | "..")), "{}", once);
        }
    }

    #[test]
    fn no_target_or_host_panics_and_what_passes_is_visible_ascii(target: Vec<u8>, host: Vec<u8>) {
        let mut head = RequestHead::new();
        head.begin("GET", Http11).expect("a token");
        if head.fields_mut().append(FieldId::Host, &host).is_ok()
            && let Ok(target) = Target::parse(&target)
            && read(&mut head, &target).is_ok()
        {
            prop_assert!(head.path().bytes().chain(head.host().bytes()).all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn every_byte_in_a_path_is_kept_escaped_or_refused(byte: u8) {
        let given = [b'/', b'x', byte, b'y'];
        if let Ok(canonical) = path(&given) {
            let escaped = format!("/x%{byte:02X}y");
            prop_assert!(canonical.as_bytes() == given || canonical == escaped || byte == b'\\' || byte == b'?', "{}", canonical);
        }
    }
}

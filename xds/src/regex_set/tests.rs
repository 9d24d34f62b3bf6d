use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// The first pattern that matches, by asking each, and by the set.
fn both(patterns: &[String], path: &str) -> (u32, u32) {
    let regexes: Vec<FullMatch> = patterns
        .iter()
        .map(|pattern| full_match(pattern).unwrap())
        .collect();
    let walked = regexes.iter().position(|regex| regex.is_match(path));
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let positions: Vec<u32> = (0..patterns.len() as u32).collect();
    let set = RegexSet::new(&patterns, &positions).unwrap();
    let found = set.first(path, u32::MAX, |position| {
        regexes[position as usize].is_match(path)
    });
    (walked.map_or(u32::MAX, |position| position as u32), found)
}

#[test]
fn a_pattern_must_match_the_whole_text_also_with_alternatives() {
    let regex = full_match("/a|/b").unwrap();
    assert!(regex.is_match("/a") && regex.is_match("/b"));
    assert!(!regex.is_match("/ab") && !regex.is_match("x/a"));
}

#[test]
fn a_bad_or_huge_pattern_is_refused_with_a_sentence() {
    assert!(full_match("(").unwrap_err().contains("unclosed group"));
    assert!(
        full_match("a{1000}{1000}")
            .unwrap_err()
            .contains("more than")
    );
}

#[test]
fn a_pattern_cannot_break_out_of_the_whole_text() {
    assert!(full_match("/a)|(?:/b").unwrap_err().contains("unopened"));
    let comment = full_match("(?x) /a # and nothing else").unwrap();
    assert!(comment.is_match("/a") && !comment.is_match("/ab"));
    assert!(!full_match("(?m)^/a$").unwrap().is_match("/a\n/b"));
}

#[test]
fn the_first_whose_conditions_hold_is_found_below_the_limit() {
    let set = RegexSet::new(&["/a.*", "/b", "/ab?"], &[3, 5, 9]).unwrap();
    let first = |limit, held: &[u32]| set.first("/ab", limit, |position| held.contains(&position));
    assert_eq!(set.lowest(), 3);
    assert_eq!(first(u32::MAX, &[3, 9]), 3);
    assert_eq!(first(u32::MAX, &[9]), 9);
    assert_eq!(first(9, &[9]), 9);
    assert_eq!(first(7, &[9]), 7);
    assert_eq!(first(u32::MAX, &[]), u32::MAX);
}

#[test]
fn a_hostile_pattern_takes_linear_time() {
    let regex = full_match("(a+)+$").unwrap();
    let text = "a".repeat(64 * 1024 - 1) + "b";
    regex.is_match(&text);
    let start = Instant::now();
    assert!(!regex.is_match(&text));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(10), "{took:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    /// Enough patterns for every kind of group; a small alphabet so that they overlap.
    #[test]
    fn the_set_finds_what_asking_each_finds(
        patterns in proptest::collection::vec(
            "(/ab|/b|[ab]|/a{1,2}|(b|/a)|\\.\\*|/[ab]\\*|(ab)\\+|(?i:Ab)|\\.\\?|/){1,4}", 0..120,
        ).prop_filter("compiles", |patterns| patterns.iter().all(|pattern| full_match(pattern).is_ok())),
        paths in proptest::collection::vec("(/|a|b|A){0,7}", 1..8),
    ) {
        for path in &paths {
            let (walked, found) = both(&patterns, path);
            prop_assert_eq!(walked, found, "{}", path);
        }
    }
}

proptest! {
    #[test]
    fn a_table_says_what_the_slower_automaton_says(
        pattern in "(\\(\\?i\\))?(/|a|b|é|[ab]|[^a]|\\.|\\\\w|\\\\b|\\^|\\$|\\(a\\|ab\\)|\\(\\?:b\\|\\)){0,5}([*+?]|\\{1,3\\})?",
        texts in proptest::collection::vec("[abAé/\n]{0,6}", 1..20),
    ) {
        let Ok(parsed) = parse(&pattern) else { return Ok(()) };
        let anchored = anchored(parsed);
        let Some(table) = Table::new(&anchored) else { return Ok(()) };
        let regex = builder(SIZE_LIMIT).build_from_hir(&anchored).unwrap();
        for text in &texts {
            prop_assert_eq!(table.is_match(text.as_bytes()), regex.is_match(text), "{} on {:?}", pattern, text);
        }
    }
}

#[test]
fn the_patterns_that_people_write_have_small_tables() {
    for pattern in [
        "/regex/[0-9]+",
        "/users/[^/]+/orders/[0-9a-f-]{36}",
        "/(api|web)/v[12]/.*",
        "(?i)/images/.*\\.(png|jpe?g|webp)",
    ] {
        let table = Table::new(&anchored(parse(pattern).unwrap()));
        let size = table.map(|table| table.weight());
        assert!(size.is_some_and(|size| size < 4096), "{pattern}: {size:?}");
    }
}

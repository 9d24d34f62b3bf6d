//! Commands that change something, or say what they would change.

use super::{Bench, SHOP};

#[test]
fn applying_an_export_makes_no_revision() {
    let bench = Bench::with_shop();
    let before = bench.revision();
    for form in ["yaml", "json"] {
        let exported = bench.run(&["export", "-o", form]).expect(0).out;
        let done = bench
            .run_with(&["apply", "-f", "-", "--prune"], &exported)
            .expect(0);
        assert_eq!(
            done.out,
            format!("nothing to change: fleet default is at revision {before}\n")
        );
    }
    assert_eq!(bench.revision(), before);
}

#[test]
fn apply_tells_what_was_done_and_keeps_what_the_file_does_not_name() {
    let bench = Bench::with_shop();
    let file = bench.file("one.yaml", "clusters: [{name: extra, discovery: api}]");
    let done = bench
        .run(&["apply", "-f", &file, "-m", "one more"])
        .expect(0);
    assert_eq!(
        done.out,
        "created clusters/extra\nfleet default is at revision 2\n"
    );
    let shop = bench.file("shop.yaml", SHOP);
    let done = bench
        .run(&["apply", "-f", &shop, "--prune", "-o", "name"])
        .expect(0);
    assert_eq!(done.out, "clusters/extra\n");
    let history = bench.run(&["history", "-o", "json"]).expect(0).json();
    assert_eq!(history[0]["number"], 3);
    assert_eq!(history[1]["message"], "one more");
}

#[test]
fn a_folder_is_one_config() {
    let bench = Bench::new();
    bench.file("conf/a.yaml", "clusters: [{name: a, discovery: api}]");
    bench.file(
        "conf/b.json",
        r#"{"routes": [{"name": "r", "forward": {"cluster": "a"}}]}"#,
    );
    bench.file("conf/README.md", "not a config");
    let folder = bench.folder.path().join("conf");
    bench
        .run(&["apply", "-f", folder.to_str().unwrap()])
        .expect(0);
    assert_eq!(
        bench.run(&["get", "routes", "-o", "name"]).expect(0).out,
        "routes/r\n"
    );
}

#[test]
fn a_refused_file_tells_every_problem_and_stores_nothing() {
    let bench = Bench::with_shop();
    let bad = bench.file(
        "bad.yaml",
        "routes:\n  - name: hello\n    match: {path: {regex: \"(\"}}\n    forward: {cluster: nowhere}\n",
    );
    let done = bench.run(&["apply", "-f", &bad]).expect(3);
    assert_eq!(done.out, "");
    assert!(
        done.err
            .contains(&format!("{bad}:3: /routes/0/match/path/regex: ")),
        "{}",
        done.err
    );
    assert!(
        done.err
            .contains(&format!("{bad}:4: /routes/0/forward/cluster: ")),
        "{}",
        done.err
    );
    assert_eq!(done.err.lines().count(), 3, "{}", done.err);
    assert_eq!(bench.revision(), 1);
}

#[test]
fn a_revision_that_is_not_expected_is_refused() {
    let bench = Bench::with_shop();
    let file = bench.file("one.yaml", "clusters: [{name: extra, discovery: api}]");
    bench
        .run(&["apply", "-f", &file, "--if-revision", "7"])
        .expect(3);
    bench
        .run(&["apply", "-f", &file, "--if-revision", "0"])
        .expect(3);
    bench
        .run(&["apply", "-f", &file, "--if-revision", "1"])
        .expect(0);
}

#[test]
fn diff_finds_fields_and_ends_with_2() {
    let bench = Bench::with_shop();
    let same = bench.run_with(&["diff", "-f", "-"], SHOP).expect(0);
    assert_eq!(same.out, "");
    let changed = SHOP.replace("body: \"hello\\n\"", "body: \"bye\\n\"");
    let done = bench.run_with(&["diff", "-f", "-"], &changed).expect(2);
    assert!(
        done.out
            .starts_with("~ routes/hello\n    /respond/body: \"hello\\n\" → \"bye\\n\"\n"),
        "{}",
        done.out
    );
    let done = bench
        .run_with(&["diff", "-f", "-", "-o", "name"], &changed)
        .expect(2);
    assert_eq!(done.out, "routes/hello\n");
    let done = bench
        .run_with(&["apply", "-f", "-", "--dry-run"], &changed)
        .expect(0);
    assert!(done.out.starts_with("~ routes/hello\n"), "{}", done.out);
    assert_eq!(bench.revision(), 1);
}

#[test]
fn revert_makes_a_new_revision_of_an_old_one() {
    let bench = Bench::with_shop();
    bench
        .run(&["delete", "route", "hello", "-m", "enough"])
        .expect(0);
    assert!(
        bench
            .run(&["revert", "1", "--dry-run"])
            .expect(0)
            .out
            .starts_with("+ routes/hello\n")
    );
    let done = bench.run(&["revert", "1"]).expect(0);
    assert_eq!(
        done.out,
        "created routes/hello\nfleet default is at revision 3\n"
    );
    bench.run(&["revert", "99"]).expect(1);
}

#[test]
fn what_is_in_use_is_not_deleted_and_what_is_not_there_is_an_error() {
    let bench = Bench::with_shop();
    let done = bench.run(&["delete", "clusters", "catalog"]).expect(3);
    assert!(done.err.contains("\nroutes/products: "), "{}", done.err);
    bench.run(&["delete", "rt", "nothing"]).expect(1);
    bench.run(&["delete", "routes"]).expect(1);
    bench.run(&["delete", "revisions", "1"]).expect(1);
    let done = bench
        .run(&["delete", "routes/hello", "rt/old-shop"])
        .expect(0);
    assert_eq!(
        done.out,
        "deleted routes/hello, revision 2\ndeleted routes/old-shop, revision 3\n"
    );
}

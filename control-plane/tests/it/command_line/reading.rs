//! Commands that read.

use super::Bench;

#[test]
fn get_has_four_forms() {
    let bench = Bench::with_shop();
    let table = bench.run(&["get", "listeners"]).expect(0).out;
    assert_eq!(table, "NAME  ADDRESS  PORT\nweb   0.0.0.0  10000\n");
    let names = bench.run(&["get", "cl", "-o", "name"]).expect(0).out;
    assert_eq!(
        names,
        "clusters/accounts\nclusters/catalog\nclusters/catalog-next\n"
    );
    let list = bench.run(&["get", "routes", "-o", "json"]).expect(0).json();
    assert_eq!(list.as_array().unwrap().len(), 5);
    let yaml = bench
        .run(&["get", "route", "hello", "-o", "yaml"])
        .expect(0)
        .out;
    assert!(yaml.starts_with("name: hello\n"), "{yaml}");
    let one = bench
        .run(&["get", "routes/hello", "-o", "json"])
        .expect(0)
        .json();
    assert_eq!(one["respond"]["status"], 200);
}

#[test]
fn every_kind_can_be_listed() {
    let bench = Bench::with_shop();
    for kind in [
        "listeners",
        "routes",
        "clusters",
        "endpoints",
        "fleets",
        "nodes",
        "revisions",
    ] {
        for form in ["table", "json", "yaml", "name"] {
            bench.run(&["get", kind, "-o", form]).expect(0);
        }
    }
    assert!(
        bench
            .run(&["nodes"])
            .expect(0)
            .out
            .starts_with("ID  CLASS  CONNECTED")
    );
    assert!(
        bench
            .run(&["history"])
            .expect(0)
            .out
            .starts_with("REVISION  AUTHOR")
    );
}

#[test]
fn what_is_not_there_is_an_error() {
    let bench = Bench::new();
    let done = bench.run(&["get", "routes", "nothing"]).expect(1);
    assert_eq!(done.out, "");
    assert!(
        done.err.contains("there is no route \"nothing\""),
        "{}",
        done.err
    );
    let done = bench.run(&["get", "routes", "--fleet", "other"]).expect(1);
    assert!(
        done.err.contains("there is no fleet \"other\""),
        "{}",
        done.err
    );
}

#[test]
fn describe_tells_what_others_make_of_a_resource() {
    let bench = Bench::with_shop();
    let route = bench.run(&["describe", "route", "products"]).expect(0).out;
    assert!(
        route.starts_with("route products\nname: products\n"),
        "{route}"
    );
    assert!(route.contains("shop.example    2 of 2\n"), "{route}");
    let cluster = bench
        .run(&["describe", "cluster", "accounts"])
        .expect(0)
        .out;
    assert!(cluster.contains("\naccount "), "{cluster}");
    assert!(cluster.ends_with("no endpoints were put\n"), "{cluster}");
    let revision = bench.run(&["describe", "revision", "1"]).expect(0).out;
    assert!(revision.contains("+ routes/hello\n"), "{revision}");
}

#[test]
fn explain_tells_the_route_and_why_no_other() {
    let bench = Bench::with_shop();
    let url = "http://shop.example/products/7?lang=en";
    let done = bench.run(&["explain", url]).expect(0).out;
    assert!(
        done.contains("  not products-beta: header x-beta\n"),
        "{done}"
    );
    assert!(
        done.contains("route products forwards it\n  catalog 90 of 100, 2 endpoints\n"),
        "{done}"
    );
    let beta = bench
        .run(&["explain", url, "-H", "x-beta: 1", "-o", "name"])
        .expect(0)
        .out;
    assert_eq!(beta, "routes/products-beta\n");
    let none = bench
        .run(&["explain", "nobody.example/none", "-X", "POST"])
        .expect(0)
        .out;
    assert!(none.contains("404"), "{none}");
}

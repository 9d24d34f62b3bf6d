//! How long "which route?" takes: one host with many paths, many hosts, one host with many regular expressions.
//! The goal is at most 1 µs, whatever the size. Each lookup asks for another route, so caches help as little as in life.
#![expect(clippy::unwrap_used, reason = "a bench ends where it finds a fault")]

#[path = "../tests/it/tables.rs"]
mod tables;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use xds::route_table::{Lookup, RouteTable};

use tables::Request;

/// The longest lists that are walked, and the shortest that have an index, are 16 and 17 routes, 4 and 5 with regexes.
const SIZES: [usize; 7] = [1, 4, 5, 16, 17, 1_000, 100_000];
/// So many different requests are asked in turn.
const REQUESTS: usize = 4_096;

fn lookup(criterion: &mut Criterion) {
    for size in SIZES {
        let table = tables::table(&[tables::compiled(&tables::paths(size))]);
        let ask = |index| tables::get("paths.example", tables::path(index));
        measure(criterion, "paths", size, &table, ask);
    }
    for size in SIZES {
        let hosts: Vec<_> = tables::hosts(size)
            .map(|host| tables::compiled(&host))
            .collect();
        let table = tables::table(&hosts);
        let ask = |index| tables::get(tables::host_name(index), "/");
        measure(criterion, "hosts", size, &table, ask);
    }
    for size in SIZES {
        let table = tables::table(&[tables::compiled(&tables::regexes(size))]);
        let ask = |index| tables::get("regexes.example", tables::regex_path(index));
        measure(criterion, "regexes", size, &table, ask);
    }
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    size: usize,
    table: &RouteTable,
    ask: impl Fn(usize) -> Request,
) {
    // Spread over the table: 7,919 is a prime.
    let spread = (0..REQUESTS).map(|index| index * 7_919 % size);
    let requests: Vec<Request> = spread.map(ask).collect();
    let mut turn = 0;
    criterion
        .benchmark_group(name)
        .bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % REQUESTS;
                let found = table.find(black_box(&requests[turn]));
                assert!(matches!(black_box(found), Lookup::Found { .. }));
            });
        });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_secs(1)).measurement_time(std::time::Duration::from_secs(2));
    targets = lookup
}
criterion_main!(benches);

//! What the fuzz target asserts, for its corpus, for the resources of the golden cases, and for those cut anywhere.

use std::path::{Path, PathBuf};

use serde_json::Value;
use xds::type_url::ResourceType;

#[path = "../../fuzz/check.rs"]
mod check;

use check::check;

fn files(folder: &str) -> impl Iterator<Item = PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path())
}

/// The resources of the golden cases as inputs: the byte that chooses the type, then the message.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for path in files("tests/golden") {
        let case: Value = yaml_serde::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for resource in case["resources"].as_array().unwrap() {
            let (type_url, bytes) = proto::json::from_json(resource).unwrap();
            let ty = ResourceType::from_type_url(&type_url).unwrap();
            let index = ResourceType::ALL.iter().position(|other| *other == ty);
            let mut seed = vec![index.unwrap() as u8];
            seed.extend(bytes);
            seeds.push(seed);
        }
    }
    seeds
}

#[test]
fn every_input_of_the_corpus_keeps_what_the_fuzz_target_asserts() {
    let inputs: Vec<PathBuf> = files("fuzz/corpus/decode").collect();
    assert!(!inputs.is_empty(), "the corpus is missing");
    for input in inputs {
        check(&std::fs::read(input).unwrap());
    }
}

#[test]
fn every_golden_resource_keeps_it_too_whole_or_cut_anywhere() {
    for seed in seeds() {
        for end in 0..=seed.len() {
            check(&seed[..end]);
        }
    }
}

//! The two folders of migrations say the same.

use std::collections::BTreeMap;
use std::path::Path;

/// Table → column → its type in words that both databases share.
type Tables = BTreeMap<String, BTreeMap<String, &'static str>>;

fn names(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../migrations")
        .join(folder);
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.collect();
    names.sort();
    names
}

/// Reads `CREATE TABLE` and `CREATE INDEX` as they are written in this project: one column a line.
fn read(folder: &str) -> (Tables, Vec<String>) {
    let (mut tables, mut indexes) = (Tables::new(), Vec::new());
    for name in names(folder) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../migrations")
            .join(folder)
            .join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let mut table = None;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line
                .strip_prefix("CREATE TABLE ")
                .and_then(|line| line.strip_suffix(" ("))
            {
                table = Some(name.to_owned());
            } else if line.starts_with(')') {
                table = None;
            } else if line.contains(" INDEX ") {
                indexes.push(line.to_owned());
            } else if let Some(table) = &table {
                let columns = tables.entry(table.clone()).or_default();
                let (name, rest) = line.split_once(char::is_whitespace).unwrap();
                columns.insert(format!("{name} {}", constraints(rest)), kind(rest));
            }
        }
    }
    (tables, indexes)
}

fn kind(rest: &str) -> &'static str {
    match rest
        .trim()
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .next()
        .unwrap()
    {
        "TEXT" => "text",
        "BIGINT" | "INTEGER" => "number",
        "BYTEA" | "BLOB" => "bytes",
        "KEY" => "key",
        other => panic!("{other} is not a type that both databases have"),
    }
}

/// What is said of a column beyond its type; the collation is PostgreSQL's alone.
fn constraints(rest: &str) -> String {
    let words = rest
        .trim()
        .trim_end_matches(',')
        .replace("COLLATE \"C\" ", "")
        .replace("COLLATE \"C\"", "");
    words
        .split_once(' ')
        .map(|(_, constraints)| constraints.to_owned())
        .unwrap_or_default()
}

#[test]
fn both_databases_have_the_same_migrations_tables_columns_and_indexes() {
    assert_eq!(names("sqlite"), names("postgres"));
    let (sqlite, postgres) = (read("sqlite"), read("postgres"));
    assert_eq!(sqlite, postgres);
    assert!(sqlite.0.len() >= 6, "the files were read");
}

//! Config files: what `-f` names, read into one document, and the way back from a pointer into that document to a file
//! and a line. Several files are one config: their lists are joined. What a config may hold is asked elsewhere.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::model::document;

use super::failure::{Failure, Fault};
use super::locate::{self, Syntax};

/// Which files are read.
#[derive(Args)]
pub(super) struct Files {
    /// A config file in YAML or JSON, a folder of *.yaml, *.yml and *.json files, or `-` for stdin; may be given several
    /// times. All of them together are one config.
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE|DIR|-", value_hint = clap::ValueHint::AnyPath)]
    file: Vec<PathBuf>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Source {
    files: Vec<File>,
    document: serde_json::Map<String, Value>,
    origins: BTreeMap<String, Origin>,
}

/// Where a field comes from.
#[derive(Debug, Default)]
struct Origin {
    /// The first file that has it.
    file: usize,
    /// Of each item of a list: its file, and its position there.
    items: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct File {
    name: String,
    text: Vec<u8>,
    syntax: Syntax,
}

/// Lines are looked up one by one, each by reading a file again; beyond so many bytes of that a pointer must do.
const LOCATE_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Files {
    /// These files.
    pub(super) fn new(file: Vec<PathBuf>) -> Self {
        Self { file }
    }

    /// One alone.
    pub(super) fn one(file: PathBuf) -> Self {
        Self { file: vec![file] }
    }

    /// Reads them.
    pub(super) fn read(&self) -> Result<Source, Failure> {
        let mut source = Source::default();
        let mut faults = Vec::new();
        for path in &self.file {
            for file in open(path)? {
                source.add(file, &mut faults);
            }
        }
        if faults.is_empty() {
            Ok(source)
        } else {
            Err(Failure::invalid(faults))
        }
    }
}

/// One document of another kind than a config.
pub(super) fn document(path: &Path) -> Result<Value, Failure> {
    let unreadable = |detail: String| Failure::Local(format!("{}: {detail}", path.display()));
    let mut files = open(path)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => read(&file).map_err(unreadable),
        _ => Err(unreadable("this takes one file".to_owned())),
    }
}

impl Source {
    /// Everything as one document.
    pub(super) fn document(&self) -> Value {
        Value::Object(self.document.clone())
    }

    /// Gives each fault its place, and a pointer into its own file.
    pub(super) fn place(&self, faults: &mut [Fault]) {
        let mut budget = LOCATE_BYTES_MAX;
        for fault in faults {
            let Some((file, pointer)) = fault.pointer.as_deref().and_then(|at| self.origin(at))
            else {
                continue;
            };
            let affordable = budget.checked_sub(file.text.len());
            budget = affordable.unwrap_or(0);
            let line = affordable.and_then(|_| locate::line(&file.text, file.syntax, &pointer));
            fault.place = Some(match line {
                Some(line) => format!("{}:{line}", file.name),
                None => file.name.clone(),
            });
            fault.pointer = Some(pointer);
        }
    }

    /// The file of a field, and its pointer there.
    fn origin(&self, pointer: &str) -> Option<(&File, String)> {
        let mut steps = pointer.splitn(4, '/').skip(1);
        let (field, item, rest) = (steps.next(), steps.next(), steps.next());
        let Some((field, origin)) = field.and_then(|field| self.origins.get_key_value(field))
        else {
            // The document as a whole.
            return self.files.first().map(|file| (file, pointer.to_owned()));
        };
        let position = item.and_then(|item| item.parse::<usize>().ok());
        match position.and_then(|position| origin.items.get(position)) {
            Some((file, index)) => {
                let rest = rest.map(|rest| format!("/{rest}")).unwrap_or_default();
                Some((self.files.get(*file)?, format!("/{field}/{index}{rest}")))
            }
            None => Some((self.files.get(origin.file)?, pointer.to_owned())),
        }
    }

    fn add(&mut self, file: File, faults: &mut Vec<Fault>) {
        let fault = |pointer: Option<String>, detail: String| Fault {
            place: Some(file.name.clone()),
            pointer,
            resource: None,
            detail,
        };
        match read(&file) {
            Ok(Value::Object(fields)) => {
                for (field, value) in fields {
                    if let Err(detail) = self.join(field.clone(), value) {
                        faults.push(fault(Some(format!("/{field}")), detail));
                    }
                }
            }
            Ok(Value::Null) => faults.push(fault(None, "there is nothing in it".to_owned())),
            Ok(_) => {
                let detail = "a config is an object of `listeners`, `clusters` and `routes`";
                faults.push(fault(None, detail.to_owned()));
            }
            Err(detail) => faults.push(fault(None, detail)),
        }
        self.files.push(file);
    }

    /// Joins a field of the file that is about to be added.
    fn join(&mut self, field: String, value: Value) -> Result<(), String> {
        let file = self.files.len();
        let items = value.as_array().map_or(0, Vec::len);
        let positions = (0..items).map(|index| (file, index));
        match (self.document.get_mut(&field), value) {
            (None, value) => {
                let items = positions.collect();
                self.origins.insert(field.clone(), Origin { file, items });
                self.document.insert(field, value);
                Ok(())
            }
            (Some(Value::Array(items)), Value::Array(more)) => {
                items.extend(more);
                self.origins
                    .entry(field)
                    .or_default()
                    .items
                    .extend(positions);
                Ok(())
            }
            _ => Err("this stands in several files, and not as a list in all of them".to_owned()),
        }
    }
}

/// The files that a path names, in the order of their names.
fn open(path: &Path) -> Result<Vec<File>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(vec![stdin()?]);
    }
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::Local(format!("cannot read {}: {error}", path.display()))
    };
    if !path.is_dir() {
        let text = std::fs::read(path).map_err(|error| failed(path, &error))?;
        let syntax = syntax_of(path).unwrap_or(Syntax::Yaml);
        let name = path.display().to_string();
        return Ok(vec![File { name, text, syntax }]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(path, &error))? {
        let entry = entry.map_err(|error| failed(path, &error))?.path();
        if syntax_of(&entry).is_some() && entry.is_file() {
            paths.push(entry);
        }
    }
    if paths.is_empty() {
        let none = format!(
            "{}: there is no *.yaml, *.yml or *.json file in it",
            path.display()
        );
        return Err(Failure::Local(none));
    }
    paths.sort();
    let files: Result<Vec<_>, _> = paths.iter().map(|path| open(path)).collect();
    Ok(files?.into_iter().flatten().collect())
}

fn stdin() -> Result<File, Failure> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut text);
    read.map_err(|error| Failure::Local(format!("cannot read stdin: {error}")))?;
    // YAML may begin with a brace too, but then it is not JSON.
    let is_json = document::json(&text).is_ok();
    Ok(File {
        name: "stdin".to_owned(),
        text,
        syntax: if is_json { Syntax::Json } else { Syntax::Yaml },
    })
}

fn syntax_of(path: &Path) -> Option<Syntax> {
    match path.extension()?.to_str()? {
        "json" => Some(Syntax::Json),
        "yaml" | "yml" => Some(Syntax::Yaml),
        _ => None,
    }
}

fn read(file: &File) -> Result<Value, String> {
    let read = match file.syntax {
        Syntax::Json => document::json(&file.text),
        Syntax::Yaml => document::yaml(&file.text),
    };
    read.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File {
            name: name.to_owned(),
            text: text.as_bytes().to_vec(),
            syntax: Syntax::Yaml,
        }
    }

    fn source(files: &[(&str, &str)]) -> (Source, Vec<String>) {
        let (mut source, mut faults) = (Source::default(), Vec::new());
        for (name, text) in files {
            source.add(file(name, text), &mut faults);
        }
        (source, faults.iter().map(Fault::to_string).collect())
    }

    #[test]
    fn a_fault_in_a_joined_list_is_told_with_its_own_file_and_pointer() {
        let (source, faults) = source(&[
            ("a.yaml", "routes:\n  - name: a\n  - name: b\n"),
            (
                "b.yaml",
                "clusters: []\nroutes:\n  - name: c\n    timeout: 5\ncolours: 1\n",
            ),
        ]);
        assert_eq!(faults, [""; 0]);
        assert_eq!(source.document()["routes"][2]["name"], "c");
        let mut faults = [
            "/routes/2/timeout",
            "/routes/1",
            "/colours",
            "/clusters",
            "",
        ]
        .map(|at| Fault {
            pointer: Some(at.to_owned()),
            detail: "no".to_owned(),
            ..Fault::default()
        });
        source.place(&mut faults);
        assert_eq!(
            faults.map(|fault| fault.to_string()),
            [
                "b.yaml:4: /routes/0/timeout: no",
                "a.yaml:3: /routes/1: no",
                "b.yaml:5: /colours: no",
                "b.yaml:1: /clusters: no",
                "a.yaml: no",
            ]
        );
    }

    #[test]
    fn what_cannot_be_joined_is_told_with_its_file() {
        let (_, faults) = source(&[
            ("a.yaml", "routes: []"),
            ("b.yaml", "routes: {}"),
            ("c.yaml", "# nothing"),
            ("d.yaml", "- 1"),
            ("e.yaml", "a: 1\na: 2"),
        ]);
        assert_eq!(faults.len(), 4);
        assert!(faults[0].starts_with("b.yaml: /routes: this stands in several files"));
        assert_eq!(faults[1], "c.yaml: there is nothing in it");
        assert!(faults[3].starts_with("e.yaml: "), "{}", faults[3]);
    }
}

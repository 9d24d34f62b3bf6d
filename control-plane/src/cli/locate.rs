//! Where in a text the field of a JSON pointer stands. The parsers tell a line only of what they could not read, so the
//! text is read once more by a reader that cannot go beyond the field.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Yaml,
}

/// The line, from 1, of the field that a pointer names, or of the nearest around it that is there. `None` for the whole.
pub(super) fn line(text: &[u8], syntax: Syntax, pointer: &str) -> Option<usize> {
    let steps: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    let inwards = (1..=steps.len()).rev();
    inwards
        .into_iter()
        .find_map(|depth| line_of(text, syntax, &steps[..depth]))
}

fn line_of(text: &[u8], syntax: Syntax, steps: &[String]) -> Option<usize> {
    let found = Cell::new(false);
    let step = Walk {
        steps,
        found: &found,
    };
    let line = match syntax {
        Syntax::Json => {
            let mut reader = serde_json::Deserializer::from_slice(text);
            let error = step.deserialize(&mut reader).err()?;
            Some(error.line()).filter(|line| *line > 0)
        }
        Syntax::Yaml => {
            let reader = yaml_serde::Deserializer::from_slice(text);
            let error = step.deserialize(reader).err()?;
            error.location().map(|location| location.line())
        }
    };
    // Any other error is of the text.
    line.filter(|_| found.get())
}

/// Goes down the steps and fails at the last; does not fail if there is no such field.
#[derive(Clone, Copy)]
struct Walk<'p> {
    steps: &'p [String],
    found: &'p Cell<bool>,
}

/// Fails at a key if it is the one, and else says which key it is.
struct Key<'p> {
    last: Option<&'p str>,
    found: &'p Cell<bool>,
}

/// The failure that ends the walk.
fn here<E: de::Error>(found: &Cell<bool>) -> E {
    found.set(true);
    E::custom("here")
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else {
            return Err(here(self.found));
        };
        let last = rest.is_empty().then_some(step.as_str());
        while let Some(key) = fields.next_key_seed(Key {
            last,
            found: self.found,
        })? {
            if key == *step {
                fields.next_value_seed(Walk {
                    steps: rest,
                    ..self
                })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else {
            return Err(here(self.found));
        };
        let index: Option<usize> = step.parse().ok();
        for position in 0.. {
            let more = if index == Some(position) {
                items
                    .next_element_seed(Walk {
                        steps: rest,
                        ..self
                    })?
                    .is_some()
            } else {
                items.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar()
    }
}

impl Walk<'_> {
    fn scalar<E: de::Error>(self) -> Result<(), E> {
        if self.steps.is_empty() {
            Err(here(self.found))
        } else {
            Ok(())
        }
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        if self.last == Some(key) {
            Err(here(self.found))
        } else {
            Ok(key.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
# a comment
routes:
  - name: a
    match:
      path: {prefix: /}
  - name: b
    request_headers:
      set:
        x/y: 1
    methods: [
      GET,
      POST
    ]
";

    #[test]
    fn the_line_is_that_of_the_field_or_of_what_is_around_it() {
        for (pointer, expected) in [
            ("", None),
            ("/routes", Some(2)),
            ("/routes/0", Some(3)),
            ("/routes/0/match", Some(4)),
            ("/routes/0/match/path/prefix", Some(5)),
            ("/routes/0/match/path/exact", Some(5)),
            ("/routes/0/forward/cluster", Some(3)),
            ("/routes/1/request_headers/set/x~1y", Some(9)),
            ("/routes/1/methods/1", Some(12)),
            ("/routes/7", Some(2)),
            ("/clusters/0", None),
        ] {
            assert_eq!(
                line(YAML.as_bytes(), Syntax::Yaml, pointer),
                expected,
                "{pointer}"
            );
        }
    }

    #[test]
    fn json_has_lines_too() {
        let json = "{\n \"routes\": [\n  {\"name\": \"a\",\n   \"timeout\": 5}\n ]\n}";
        let line = |pointer| line(json.as_bytes(), Syntax::Json, pointer);
        assert_eq!(line("/routes/0/timeout"), Some(4));
        assert_eq!(line("/routes"), Some(2));
    }

    #[test]
    fn a_text_that_cannot_be_read_has_no_fields() {
        assert_eq!(line(b"", Syntax::Yaml, "/a"), None);
        assert_eq!(line(b"[]", Syntax::Json, "/a"), None);
    }
}

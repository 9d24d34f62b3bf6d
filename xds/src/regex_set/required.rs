//! Texts that every match of a pattern contains, read off its parsed form. They say cheaply that a pattern cannot match;
//! that it does is never said here.

use regex_syntax::hir::{Hir, HirKind};

/// A text of one byte is in nearly every path.
const SHORTEST: usize = 2;
/// A longer text is cut: its first bytes are contained as well, and texts that end at the same byte stay few, however
/// they are nested.
const LONGEST: usize = 32;

/// The required texts of a pattern; none if it has no fixed part.
pub(super) fn texts(pattern: &Hir) -> Vec<Box<[u8]>> {
    let mut reading = Reading::default();
    reading.read(pattern);
    reading.end_run();
    reading.texts
}

#[derive(Default)]
struct Reading {
    texts: Vec<Box<[u8]>>,
    /// The literal that the parts read last form together.
    run: Vec<u8>,
}

impl Reading {
    fn read(&mut self, part: &Hir) {
        match part.kind() {
            HirKind::Literal(literal) => self.run.extend_from_slice(&literal.0),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.read(part)),
            HirKind::Capture(capture) => self.read(&capture.sub),
            HirKind::Repetition(repetition) => {
                self.end_run();
                if repetition.min > 0 {
                    self.read(&repetition.sub);
                    self.end_run();
                }
            }
            // Consumes nothing, so what stands on both sides is adjacent.
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Class(_) | HirKind::Alternation(_) => self.end_run(),
        }
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.len() >= SHORTEST {
            let text = &run[..run.len().min(LONGEST)];
            if !self.texts.iter().any(|known| **known == *text) {
                self.texts.push(text.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(pattern: &str) -> Vec<String> {
        let texts = texts(&super::super::parse(pattern).unwrap());
        let text = |bytes: Box<[u8]>| String::from_utf8(bytes.into()).unwrap();
        texts.into_iter().map(text).collect()
    }

    #[test]
    fn fixed_parts_are_required_and_choices_are_not() {
        for (pattern, wanted) in [
            ("/items/[0-9]+/edit", vec!["/items/", "/edit"]),
            ("/a(bc)+/d?", vec!["/a", "bc"]),
            ("/a(bc)*", vec!["/a"]),
            ("(/ab)^(cd)", vec!["/abcd"]),
            ("/x|/y", vec![]),
            ("(?i)/ab", vec![]),
            (".*/[a-z]+", vec![]),
        ] {
            assert_eq!(required(pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(required(&"a".repeat(100)), ["a".repeat(LONGEST)]);
    }
}

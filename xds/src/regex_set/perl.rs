//! `\d`, `\w`, `\s` and `\b` as RE2, and so Envoy, reads them: ASCII. The parser alone would take all of Unicode, where
//! `\w` compiles to a hundred times the size and `\b` costs the fast engine. A pattern goes in, the same pattern with
//! these classes written out comes out.

use std::convert::Infallible;

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span};

use super::syntax_error;

/// Writes the classes out.
///
/// # Errors
/// The pattern is none; says why.
pub(super) fn written_out(pattern: &str) -> Result<String, String> {
    let ast = Parser::new()
        .parse(pattern)
        .map_err(|error| syntax_error(&error))?;
    let Ok(found) = ast::visit(&ast, Finder::default());
    let mut written = String::with_capacity(pattern.len());
    let mut copied = 0;
    for (span, class) in found {
        written.push_str(&pattern[copied..span.start.offset]);
        written.push_str(class);
        copied = span.end.offset;
    }
    written.push_str(&pattern[copied..]);
    Ok(written)
}

/// What is to be replaced, in the order of the pattern, and by what.
#[derive(Default)]
struct Finder(Vec<(Span, &'static str)>);

impl ast::Visitor for Finder {
    type Output = Vec<(Span, &'static str)>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Infallible> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::ClassPerl(class) => self.0.push((class.span, ascii(class))),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => self.0.push((assertion.span, r"(?-u:\b)")),
                AssertionKind::NotWordBoundary => self.0.push((assertion.span, r"(?-u:\B)")),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        if let ClassSetItem::Perl(class) = item {
            self.0.push((class.span, ascii(class)));
        }
        Ok(())
    }
}

/// A class that stands alone as well as inside another one. <https://github.com/google/re2/wiki/Syntax>
fn ascii(class: &ClassPerl) -> &'static str {
    match (&class.kind, class.negated) {
        (ClassPerlKind::Digit, false) => "[0-9]",
        (ClassPerlKind::Digit, true) => "[^0-9]",
        (ClassPerlKind::Space, false) => r"[\t\n\x0C\r\x20]",
        (ClassPerlKind::Space, true) => r"[^\t\n\x0C\r\x20]",
        (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
        (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
    }
}

#[cfg(test)]
mod tests {
    use super::super::full_match;
    use super::*;

    #[test]
    fn classes_are_written_out_alone_and_inside_others() {
        for (pattern, wanted) in [
            (r"/\d+/[\w-]*", "/[0-9]+/[[0-9A-Za-z_]-]*"),
            (r"\\d[^\D]", r"\\d[^[^0-9]]"),
            (r"(?x) \s # \d", r"(?x) [\t\n\x0C\r\x20] # \d"),
            (r"a\b", r"a(?-u:\b)"),
        ] {
            assert_eq!(written_out(pattern).unwrap(), wanted);
        }
    }

    #[test]
    fn they_are_ascii_as_in_re2() {
        let word = full_match(r"\w+").unwrap();
        assert!(word.is_match("aZ_9") && !word.is_match("é") && !word.is_match("-"));
        let digit = full_match(r"[^\D]").unwrap();
        assert!(digit.is_match("7") && !digit.is_match("٧") && !digit.is_match("x"));
        let other = full_match(r"\W").unwrap();
        assert!(other.is_match("é") && !other.is_match("e"));
        assert!(full_match(r"\w{1,64}/[\w-]{1,64}/\d{1,10}").is_ok());
    }
}

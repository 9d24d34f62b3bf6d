//! A table for people: columns as wide as they must be, two spaces between them.

use std::fmt;

use super::output::printable;

/// Rows of text under a head.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its head.
    pub(super) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|column| (*column).to_owned()).collect();
        Self { rows: vec![head] }
    }

    /// Adds a row; what is not known is a dash.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |cell: String| match printable(&cell) {
            cell if cell.is_empty() => "-".to_owned(),
            cell => cell,
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: &String| cell.chars().count();
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (column, cell) in row.iter().enumerate() {
                widths[column] = widths[column].max(width(cell));
            }
        }
        for row in &self.rows {
            // No spaces at the end of a line: the last column is as long as it is.
            let (last, rest) = row
                .split_last()
                .map_or(("", &[][..]), |(last, rest)| (last, rest));
            for (cell, width) in rest.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f, "{last}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "HOSTS", "X"]);
        table.row(["ä-long-name".to_owned(), String::new(), "1".to_owned()]);
        table.row(["b".to_owned(), "shop\u{7}".to_owned(), "2".to_owned()]);
        assert_eq!(
            table.to_string(),
            "NAME         HOSTS      X\nä-long-name  -          1\nb            shop\\u{7}  2\n"
        );
    }
}

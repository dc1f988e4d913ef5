//! A Markdown table: the first columns are words, the others numbers.

/// Rows under a head; all of the same width.
#[derive(Debug)]
pub struct Table {
    head: Vec<String>,
    words: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table, its first `words` columns to the left, the others to the right.
    pub fn new<S: Into<String>>(words: usize, head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), words, rows: Vec::new() }
    }

    /// Adds a row; a cell too few stays empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    /// Takes out the columns in which every cell is empty.
    pub fn without_empty_columns(mut self) -> Self {
        for column in (0..self.head.len()).rev() {
            if self.rows.iter().all(|row| row[column].is_empty()) {
                self.head.remove(column);
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
                self.words -= usize::from(column < self.words);
            }
        }
        self
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As Markdown, with a newline at the end.
    pub fn markdown(&self) -> String {
        let rule: Vec<String> = (0..self.head.len())
            .map(|column| if column < self.words { "---" } else { "---:" }.to_owned())
            .collect();
        let mut text = String::new();
        for row in [&self.head, &rule].into_iter().chain(&self.rows) {
            text += &format!("| {} |\n", row.join(" | "));
        }
        text
    }
}

/// Words from outside, so that Markdown takes them for words.
pub fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '\n' | '\r' => text.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns() {
        let mut table = Table::new(2, ["job", "nothing", "events/s"]);
        table.row(["backlog", "", "2,240,000"]);
        let table = table.without_empty_columns();
        assert_eq!(table.markdown(), "| job | events/s |\n| --- | ---: |\n| backlog | 2,240,000 |\n");
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(escaped("p99<100ms | a_b"), "p99&lt;100ms \\| a\\_b");
    }
}

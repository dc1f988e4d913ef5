//! Names as small numbers: a name is compared once where it is said a thousand times.

use std::collections::HashMap;

/// Numbers names from 0, in the order of their coming.
#[derive(Debug, Default)]
pub struct Names {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    /// The one asked for last: nearly always the next one too.
    last: usize,
}

impl Names {
    /// The number of a name; a new one for a new name.
    pub fn index(&mut self, name: &str) -> usize {
        if self.names.get(self.last).is_none_or(|last| last != name) {
            self.last = self.by_name.get(name).copied().unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.by_name.insert(name.to_owned(), self.names.len() - 1);
                self.names.len() - 1
            });
        }
        self.last
    }

    /// All names by their number.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Forgets all names.
    pub fn clear(&mut self) {
        self.names.clear();
        self.by_name.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = Names::default();
        assert_eq!(["a", "b", "b", "a", "c", "b"].map(|name| names.index(name)), [0, 1, 1, 0, 2, 1]);
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        names.clear();
        assert_eq!(["b", "c", "b"].map(|name| names.index(name)), [0, 1, 0]);
    }
}

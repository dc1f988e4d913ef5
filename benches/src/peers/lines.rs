//! Lines of a file that grows, counted without reading anything twice.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const BLOCK: usize = 1 << 20;

/// How many whole lines a file has so far.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    // Opened once it is there; its position is the end of what was counted.
    file: Option<File>,
    block: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Of a file that need not be there yet.
    pub(super) fn of(path: &Path) -> Lines {
        Lines { path: path.to_owned(), file: None, block: vec![0; BLOCK], count: 0 }
    }

    /// Counts what was appended since the last call, and returns the lines in all.
    pub(super) fn count(&mut self) -> Result<u64> {
        let context = || format!("cannot read {}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(&self.path) {
                Ok(file) => none.insert(file),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error).with_context(context),
            },
        };
        loop {
            let read = file.read(&mut self.block).with_context(context)?;
            self.count += memchr::memchr_iter(b'\n', &self.block[..read]).count() as u64;
            // Less than a block is the end: whoever writes must not be raced.
            if read < self.block.len() {
                return Ok(self.count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_appended_is_counted_once() {
        let path = std::env::temp_dir().join(format!("lines-{}", std::process::id()));
        let mut lines = Lines::of(&path);
        assert_eq!(lines.count().unwrap(), 0);

        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntwo\nhal").unwrap();
        assert_eq!(lines.count().unwrap(), 2);
        file.write_all(b"f\n").unwrap();
        assert_eq!(lines.count().unwrap(), 3);
        file.write_all(&b"\n".repeat(3 * BLOCK)).unwrap();
        assert_eq!(lines.count().unwrap(), 3 + 3 * BLOCK as u64);
        assert_eq!(lines.count().unwrap(), 3 + 3 * BLOCK as u64);
        std::fs::remove_file(path).unwrap();
    }
}

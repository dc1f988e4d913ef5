//! Chunks of a stream → its lines, in bounded memory.

use memchr::memchr;

/// Cuts a stream at its newlines. A line longer than the limit is cut there, and says by how much.
#[derive(Debug)]
pub(super) struct LineSplitter {
    /// Start of a line whose end has not come yet; at most `limit` bytes.
    partial: Vec<u8>,
    /// Bytes of that line beyond the limit.
    cut: u64,
    limit: usize,
}

/// A line without its line end (`\n` or `\r\n`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Bytes that stood behind these and were let go.
    pub(super) cut: u64,
}

impl LineSplitter {
    /// Lines of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> LineSplitter {
        LineSplitter { partial: Vec::new(), cut: 0, limit }
    }

    /// Hands over every line that ends in `chunk`; the rest is kept.
    pub(super) fn push(&mut self, mut chunk: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            if self.is_empty() && line.len() <= self.limit {
                each(Line { bytes: without_return(line), cut: 0 });
            } else {
                self.keep(line);
                self.hand_over(without_return, &mut each);
            }
            chunk = rest;
        }
        self.keep(chunk);
    }

    /// Hands over the unfinished line, if there is one, as it is: nothing more will come.
    pub(super) fn finish(&mut self, each: impl FnMut(Line<'_>)) {
        if !self.is_empty() {
            self.hand_over(|line| line, each);
        }
    }

    fn hand_over(&mut self, trim: fn(&[u8]) -> &[u8], mut each: impl FnMut(Line<'_>)) {
        // Behind a cut the last byte kept is not the line's last.
        let bytes = if self.cut == 0 { trim(&self.partial) } else { &self.partial };
        each(Line { bytes, cut: self.cut });
        self.partial.clear();
        self.cut = 0;
    }

    fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.cut == 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.partial.len();
        let (kept, cut) = bytes.split_at(bytes.len().min(room));
        self.partial.extend_from_slice(kept);
        self.cut += cut.len() as u64;
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(limit: usize, chunks: &[&[u8]]) -> Vec<(Vec<u8>, u64)> {
        let mut lines = Vec::new();
        let mut splitter = LineSplitter::new(limit);
        let mut each = |line: Line<'_>| lines.push((line.bytes.to_vec(), line.cut));
        for chunk in chunks {
            splitter.push(chunk, &mut each);
        }
        splitter.finish(&mut each);
        lines
    }

    #[test]
    fn line_ends_of_unix_and_windows_and_a_last_line_without_one() {
        let lines = split(100, &[b"a\r\n\nb\n", b"c", b"d\r", b"\ne"]);
        let texts: Vec<&[u8]> = lines.iter().map(|(line, _)| line.as_slice()).collect();
        assert_eq!(texts, [b"a".as_slice(), b"", b"b", b"cd", b"e"]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_by_how_much() {
        assert_eq!(split(3, &[b"abcdef\nxy\n"]), [(b"abc".to_vec(), 3), (b"xy".to_vec(), 0)]);
        assert_eq!(split(3, &[b"ab", b"cd", b"ef"]), [(b"abc".to_vec(), 3)]);
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter_and_no_byte_is_lost(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')], 0..60),
            size in 1usize..9,
            limit in 1usize..9,
        ) {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            let lines = split(limit, &chunks);
            prop_assert_eq!(&lines, &split(limit, &[bytes.as_slice()]));
            let newlines = bytes.iter().filter(|&&b| b == b'\n').count();
            prop_assert_eq!(lines.len(), newlines + usize::from(bytes.last().is_some_and(|&b| b != b'\n')));
            let letters: usize = lines.iter().map(|(line, cut)| line.len() + *cut as usize).sum();
            let returns = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
            prop_assert!(letters <= bytes.len() - newlines);
            prop_assert!(letters + returns >= bytes.len() - newlines);
        }
    }
}

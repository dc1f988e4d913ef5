//! The lines of a file of any size, through one buffer.

use std::io::{self, Read};

/// Bytes asked for at a time.
const READ_BYTES: usize = 1 << 20;

/// A longer line is no event: Kafka's own limit for a message is far below.
const MAX_LINE_BYTES: usize = 64 << 20;

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// As it should be.
    Whole(&'a [u8]),
    /// The file ends before the newline.
    Torn(&'a [u8]),
    /// Longer than any event; its beginning. The rest is passed over.
    TooLong(&'a [u8]),
}

/// Reads lines.
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is read and not given out: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Inside a line that was too long.
    skipping: bool,
    max_line_bytes: usize,
}

impl<R: Read> Lines<R> {
    /// Starts at the source's position.
    pub fn new(source: R) -> Lines<R> {
        Lines {
            source,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            skipping: false,
            max_line_bytes: MAX_LINE_BYTES,
        }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = self.start..searched + at;
                self.start = line.end + 1;
                if std::mem::take(&mut self.skipping) {
                    searched = self.start;
                    continue;
                }
                return Ok(Some(Line::Whole(&self.buffer[line])));
            }
            if self.skipping {
                self.start = self.end;
            } else if self.end - self.start > self.max_line_bytes {
                let line = self.start..self.end;
                self.start = self.end;
                self.skipping = true;
                return Ok(Some(Line::TooLong(&self.buffer[line])));
            }
            let read = self.fill()?;
            searched = self.end - read;
            if read == 0 {
                let line = self.start..self.end;
                self.start = self.end;
                let torn = !line.is_empty() && !std::mem::take(&mut self.skipping);
                return Ok(torn.then(|| Line::Torn(&self.buffer[line])));
            }
        }
    }

    /// Moves the beginning of a line to the front and reads on behind it.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives what it has in pieces of the sizes asked for.
    struct Pieces<'a>(&'a [u8], std::iter::Cycle<std::slice::Iter<'a, usize>>);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let piece = self.1.next().copied().unwrap_or(1).min(self.0.len()).min(out.len());
            let (head, tail) = self.0.split_at(piece);
            out[..piece].copy_from_slice(head);
            self.0 = tail;
            Ok(piece)
        }
    }

    fn read_all(mut lines: Lines<impl Read>) -> Vec<(char, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole(line) => ('w', line.to_vec()),
                Line::Torn(line) => ('t', line.to_vec()),
                Line::TooLong(_) => ('l', Vec::new()),
            });
        }
        all
    }

    proptest! {
        #[test]
        fn lines_are_what_lies_between_newlines(
            text in proptest::collection::vec("[a-c]{0,30}", 0..20),
            torn: bool,
            sizes in proptest::collection::vec(1_usize..50, 1..6),
        ) {
            let mut bytes = text.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect::<Vec<_>>();
            if torn {
                bytes.extend_from_slice(b"half a li");
            }
            let mut expected: Vec<_> = text.iter().map(|line| ('w', line.clone().into_bytes())).collect();
            expected.extend(torn.then(|| ('t', b"half a li".to_vec())));
            prop_assert_eq!(&read_all(Lines::new(Pieces(&bytes, sizes.iter().cycle()))), &expected);

            // With a limit, lines far above it are passed over and all others are not touched.
            let mut limited = Lines::new(Pieces(&bytes, sizes.iter().cycle()));
            limited.max_line_bytes = 10;
            for (given, (_, line)) in read_all(limited).iter().zip(&expected) {
                prop_assert!(&given.1 == line || (given.0 == 'l' && line.len() > 10));
            }
        }
    }

    #[test]
    fn a_line_larger_than_the_buffer() {
        let long = vec![b'x'; 3 * READ_BYTES + 5];
        let bytes = [b"a\n", &long[..], b"\nb\n"].concat();
        let expected = [('w', b"a".to_vec()), ('w', long), ('w', b"b".to_vec())];
        assert_eq!(read_all(Lines::new(&bytes[..])), expected);
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_the_limit() {
        let mut lines = Lines::new(io::repeat(b'x').take(40 << 20));
        lines.max_line_bytes = 2 << 20;
        assert!(matches!(lines.next().unwrap(), Some(Line::TooLong(_))));
        assert_eq!(lines.next().unwrap(), None);
        assert!(lines.buffer.len() <= 8 << 20);
    }
}

//! A file of any size in blocks of whole lines, so that each can be looked at without the others.

use std::io::{self, Read};

/// Large enough to make handing over cheap, small enough for a cache.
const BLOCK_BYTES: usize = 1 << 20;

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

/// Some lines of a file. Made to be filled again and again.
#[derive(Debug, Default)]
pub struct Block {
    /// Only `bytes[..end]` counts: what lies behind is kept to be written over.
    bytes: Vec<u8>,
    end: usize,
    /// It is one line, longer than any event.
    too_long: bool,
}

impl Block {
    /// Its lines in their order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut rest = &self.bytes[..self.end];
        std::iter::from_fn(move || {
            let newline = memchr::memchr(b'\n', rest);
            let line = &rest[..newline.unwrap_or(rest.len())];
            rest = rest.get(line.len() + 1..).unwrap_or_default();
            match newline {
                None if line.is_empty() => None,
                _ if self.too_long => Some(Line::TooLong(line)),
                Some(_) => Some(Line::Whole(line)),
                None => Some(Line::Torn(line)),
            }
        })
    }
}

/// What [`Blocks::fill`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// Lines, together no more than a block's usual size.
    Lines,
    /// A single line that is longer than that.
    LongLine,
    /// The end of the file.
    Nothing,
}

/// Reads blocks.
pub struct Blocks<R> {
    source: R,
    /// Read already, behind the block before; less than a block.
    rest: Vec<u8>,
    /// Inside a line that was too long.
    skipping: bool,
    block_bytes: usize,
    /// Not below `block_bytes`.
    max_line_bytes: usize,
}

impl<R: Read> Blocks<R> {
    /// Starts at the source's position.
    pub fn new(source: R) -> Blocks<R> {
        Blocks {
            source,
            rest: Vec::new(),
            skipping: false,
            block_bytes: BLOCK_BYTES,
            max_line_bytes: MAX_LINE_BYTES,
        }
    }

    /// With other sizes.
    #[cfg(test)]
    pub fn sized(source: R, block_bytes: usize, max_line_bytes: usize) -> Blocks<R> {
        assert!(block_bytes <= max_line_bytes);
        Blocks { block_bytes, max_line_bytes, ..Blocks::new(source) }
    }

    /// Puts the next lines into `block`, in place of what it held.
    ///
    /// # Errors
    /// Those of the source.
    pub fn fill(&mut self, block: &mut Block) -> io::Result<Filled> {
        while self.skipping {
            self.skip(block)?;
        }
        block.end = self.rest.len();
        block.bytes.resize(block.bytes.len().max(block.end), 0);
        block.bytes[..block.end].copy_from_slice(&self.rest);
        self.rest.clear();
        let mut searched = 0;
        loop {
            let read = self.read(block)?;
            let unsearched = &block.bytes[searched..block.end];
            // As many lines as fit; but one that doesn't fit comes alone.
            let newline = match block.end <= self.block_bytes {
                true => memchr::memrchr(b'\n', unsearched),
                false => memchr::memchr(b'\n', unsearched),
            };
            if let Some(at) = newline {
                let line_end = searched + at;
                self.rest.extend_from_slice(&block.bytes[line_end + 1..block.end]);
                block.end = line_end + 1;
                block.too_long = line_end > self.max_line_bytes;
                break;
            }
            block.too_long = block.end > self.max_line_bytes;
            if read == 0 || block.too_long {
                self.skipping = block.too_long;
                break;
            }
            searched = block.end;
        }
        Ok(match block.end {
            0 => Filled::Nothing,
            bytes if bytes <= self.block_bytes => Filled::Lines,
            _ => Filled::LongLine,
        })
    }

    /// Passes over what is left of a line that was too long, or some of it.
    fn skip(&mut self, block: &mut Block) -> io::Result<()> {
        block.end = 0;
        let read = self.read(block)?;
        let newline = memchr::memchr(b'\n', &block.bytes[..read]);
        if let Some(at) = newline {
            self.rest.extend_from_slice(&block.bytes[at + 1..read]);
        }
        self.skipping = read > 0 && newline.is_none();
        Ok(())
    }

    /// Appends to `block`, up to the next multiple of a block's size: so `rest` never is a block or more.
    fn read(&mut self, block: &mut Block) -> io::Result<usize> {
        let up_to = (block.end / self.block_bytes + 1) * self.block_bytes;
        if block.bytes.len() < up_to {
            block.bytes.resize(up_to, 0);
        }
        loop {
            match self.source.read(&mut block.bytes[block.end..up_to]) {
                Ok(read) => {
                    block.end += read;
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

    /// All lines, one block being used for all.
    fn read_all(mut blocks: Blocks<impl Read>) -> Vec<(char, Vec<u8>)> {
        let (mut all, mut block) = (Vec::new(), Block::default());
        loop {
            let filled = blocks.fill(&mut block).unwrap();
            match filled {
                Filled::Lines => assert!(block.end <= blocks.block_bytes),
                Filled::LongLine => assert_eq!(block.lines().count(), 1),
                Filled::Nothing => return all,
            }
            assert!(blocks.rest.len() < blocks.block_bytes);
            all.extend(block.lines().map(|line| match line {
                Line::Whole(line) => ('w', line.to_vec()),
                Line::Torn(line) => ('t', line.to_vec()),
                Line::TooLong(_) => ('l', Vec::new()),
            }));
        }
    }

    proptest! {
        #[test]
        fn lines_are_what_lies_between_newlines(
            text in proptest::collection::vec("[a-c]{0,30}", 0..20),
            torn in "[a-c]{0,30}",
            sizes in proptest::collection::vec(1_usize..50, 1..6),
            block_bytes in 1_usize..60,
            more in 0_usize..20,
        ) {
            let bytes = text.iter().map(|line| format!("{line}\n")).collect::<String>() + &torn;
            let max = block_bytes + more;
            let line = |kind, line: &String| match line.len() > max {
                true => ('l', Vec::new()),
                false => (kind, line.clone().into_bytes()),
            };
            let mut expected: Vec<_> = text.iter().map(|text| line('w', text)).collect();
            expected.extend((!torn.is_empty()).then(|| line('t', &torn)));
            let source = Pieces(bytes.as_bytes(), sizes.iter().cycle());
            prop_assert_eq!(read_all(Blocks::sized(source, block_bytes, max)), expected);
        }
    }

    #[test]
    fn a_line_larger_than_a_block() {
        let long = vec![b'x'; 3 * BLOCK_BYTES + 5];
        let bytes = [b"a\n", &long[..], b"\nb\n"].concat();
        let expected = [('w', b"a".to_vec()), ('w', long), ('w', b"b".to_vec())];
        assert_eq!(read_all(Blocks::new(&bytes[..])), expected);
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_the_limit() {
        let mut blocks = Blocks::sized(io::repeat(b'x').take(40 << 20), 1 << 20, 2 << 20);
        let mut block = Block::default();
        assert_eq!(blocks.fill(&mut block).unwrap(), Filled::LongLine);
        assert!(matches!(block.lines().next(), Some(Line::TooLong(_))));
        assert_eq!(blocks.fill(&mut block).unwrap(), Filled::Nothing);
        assert!(block.bytes.len() <= 8 << 20);
    }
}

//! The inputs, read in turn: whole ones first to last, followed ones side by side.
//!
//! Nothing here blocks: a followed file is looked at again at the next call, a pipe is read on a thread of its
//! own. Memory: one chunk, and for each input an unfinished line and an event that waits for its next line.

mod followed;
mod piped;
mod reader;

use super::Begin;
use super::assemble::{Assembler, Stream};
use super::event::ShippedLine;
use chrono::{DateTime, Utc};
use followed::Followed;
use piped::Piped;
use reader::Reader;
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tracing::error;

/// Bytes read at a time.
const CHUNK: usize = 128 << 10;

/// How often what is followed is looked at.
const POLL: Duration = Duration::from_millis(100);

/// All inputs of a run.
#[derive(Debug)]
pub(super) struct Tail {
    inputs: Vec<Input>,
    /// Side by side instead of one after the other.
    follow: bool,
    /// Input whose turn it is.
    turn: usize,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum Input {
    Whole(Reader),
    Followed(Box<Followed>),
    Piped(Piped),
}

/// What a look at an input gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bytes were read, or a file was changed for its successor: look again at once.
    Read,
    /// Nothing new.
    Waiting,
    /// Nothing more will come.
    Ended,
}

/// Where bytes go: the assembler, at this moment.
pub(super) struct Sink<'a> {
    pub(super) assembler: &'a mut Assembler,
    pub(super) now: DateTime<Utc>,
    pub(super) out: &'a mut Vec<ShippedLine>,
}

impl Sink<'_> {
    fn push(&mut self, stream: &mut Stream, chunk: &[u8]) {
        self.assembler.push(stream, chunk, self.now, self.out);
    }

    fn finish(&mut self, stream: &mut Stream) {
        self.assembler.finish(stream, self.now, self.out);
    }

    fn release(&mut self, stream: &mut Stream) {
        self.assembler.release(stream, self.out);
    }

    fn release_idle(&mut self, stream: &mut Stream) {
        self.assembler.release_idle(stream, self.now, self.out);
    }

    fn read_error(&mut self, path: &Path, failure: &std::io::Error) {
        self.assembler.counters.read_errors += 1;
        error!(file = %path.display(), %failure, "reading failed; what follows in this file is not shipped");
    }
}

impl Tail {
    pub(super) fn new(follow: bool) -> Tail {
        Tail { inputs: Vec::new(), follow, turn: 0, buffer: vec![0; CHUNK].into() }
    }

    /// Adds a regular file, read to its end.
    pub(super) fn add_whole(&mut self, path: &Path, file: File, stream: Stream) {
        self.inputs.push(Input::Whole(Reader::new(path, file, stream)));
    }

    /// Adds a regular file, there or not yet, that is read for good.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(super) fn add_followed(&mut self, path: &Path, stream: Stream, begin: Begin) -> std::io::Result<()> {
        self.inputs.push(Input::Followed(Box::new(Followed::open(path, stream, begin)?)));
        Ok(())
    }

    /// Adds standard input, or anything else whose reading may block.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub(super) fn add_piped(
        &mut self,
        path: &Path,
        from: impl std::io::Read + Send + 'static,
        stream: Stream,
    ) -> std::io::Result<()> {
        self.inputs.push(Input::Piped(Piped::start(path, from, stream)?));
        Ok(())
    }

    /// Reads the next chunk of the input whose turn it is; with nothing to read there, of the next one.
    pub(super) fn poll(&mut self, sink: &mut Sink<'_>) -> Progress {
        let mut looks = self.inputs.len();
        while looks > 0 && !self.inputs.is_empty() {
            looks -= 1;
            self.turn %= self.inputs.len();
            let progress = match &mut self.inputs[self.turn] {
                Input::Whole(reader) => reader.read_whole(&mut self.buffer, sink),
                Input::Followed(file) => file.poll(&mut self.buffer, sink),
                Input::Piped(pipe) => pipe.poll(sink),
            };
            match progress {
                Progress::Ended => {
                    self.inputs.remove(self.turn);
                }
                // One after the other: the turn passes only when an input has ended.
                Progress::Read | Progress::Waiting if !self.follow => return progress,
                Progress::Read => {
                    self.turn += 1;
                    return Progress::Read;
                }
                Progress::Waiting => self.turn += 1,
            }
        }
        if self.inputs.is_empty() { Progress::Ended } else { Progress::Waiting }
    }

    /// Sees which files followed names lead to now, without reading.
    pub(super) fn look(&mut self) {
        for input in &mut self.inputs {
            match input {
                Input::Followed(file) => file.look(),
                Input::Whole(_) | Input::Piped(_) => {}
            }
        }
    }

    /// Waits for something to read, at most `at_most`. Followed files are looked at every 100 ms at least.
    pub(super) fn wait(&mut self, at_most: Duration) {
        let at_most = at_most.min(POLL);
        let pipe = self.inputs.iter_mut().find_map(|input| match input {
            Input::Piped(pipe) => Some(pipe),
            Input::Whole(_) | Input::Followed(_) => None,
        });
        match pipe {
            Some(pipe) => pipe.wait(at_most),
            None => std::thread::park_timeout(at_most),
        }
    }

    /// Ends all inputs where they are: unfinished lines and waiting events become events.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        for mut input in self.inputs.drain(..) {
            match &mut input {
                Input::Whole(reader) => reader.finish(sink),
                Input::Followed(file) => file.finish(sink),
                Input::Piped(pipe) => pipe.finish(sink),
            }
        }
    }
}

#[cfg(test)]
mod tests;

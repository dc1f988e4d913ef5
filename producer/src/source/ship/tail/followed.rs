//! A file followed by its name, through everything that log rotation does to it.
//!
//! - Renamed, or deleted, and created anew: the old one is read to its end, then the new one. Writers may need a
//!   while to notice, so the old one is still looked at until it has been quiet for [`GRACE`].
//!   The name is looked at all the while, also while a large file is read or nothing can be sent: a file that comes
//!   and goes in that time is held open until its turn.
//! - Copied and truncated: it became shorter than what was read of it; it is read from its first byte. Lines
//!   between the last look and the truncation are lost to every reader, and so is a truncation that has been
//!   filled up again to the old length within one look (100 ms): rotate by renaming where that matters.
//! - Not there (yet, or any more): waited for.

use super::reader::{FileId, Reader};
use super::{Begin, Progress, Sink, Stream};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// How long a file that lost its name is still looked at after its last byte.
pub(super) const GRACE: TimeDelta = TimeDelta::seconds(5);

/// A name, and the files that have or had it.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    /// The stream of the next file of this name.
    next_stream: Stream,
    current: Option<Reader>,
    /// Those that had the name after `current`, oldest first.
    successors: VecDeque<File>,
    retired: Vec<Retired>,
    /// It was said that the file is missing or cannot be read.
    absence_said: bool,
}

/// A file that lost its name.
#[derive(Debug)]
struct Retired {
    reader: Reader,
    /// It was seen at its end since then: the new file may be read.
    drained: bool,
    last_read: DateTime<Utc>,
}

impl Followed {
    /// # Errors
    /// When the file is there and cannot be read. A file that is not there is waited for.
    pub(super) fn open(path: &Path, stream: Stream, begin: Begin) -> io::Result<Followed> {
        let mut followed = Followed {
            path: path.to_owned(),
            next_stream: stream,
            current: None,
            successors: VecDeque::new(),
            retired: Vec::new(),
            absence_said: false,
        };
        match File::open(path) {
            Ok(file) => {
                let mut reader = followed.reader(file);
                reader.begin_at(begin, &mut vec![0; super::CHUNK])?;
                followed.current = Some(reader);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => followed.say_absent(&error),
            Err(error) => return Err(error),
        }
        Ok(followed)
    }

    pub(super) fn poll(&mut self, buffer: &mut [u8], sink: &mut Sink<'_>) -> Progress {
        let mut progress = Progress::Waiting;
        for retired in &mut self.retired {
            if retired.read(buffer, sink) {
                progress = Progress::Read;
                if !retired.drained {
                    return progress;
                }
            }
        }
        self.retired.retain_mut(|retired| !retired.is_over(sink));
        match self.poll_current(buffer, sink) {
            Ok(Progress::Waiting) => progress,
            Ok(current) => current,
            Err(error) => {
                let path = self.path.clone();
                sink.read_error(&path, &error);
                self.retire(sink);
                progress
            }
        }
    }

    /// Opens the file that has the name now, if it is a new one: the next rotation may take the name away.
    pub(super) fn look(&mut self) {
        let newest = match (self.successors.back(), &self.current) {
            (Some(file), _) => file.metadata().map(|metadata| FileId::of(&metadata)),
            (None, Some(current)) => current.id(),
            (None, None) => return,
        };
        let is_new = |metadata: io::Result<fs::Metadata>| {
            newest.as_ref().is_ok_and(|newest| metadata.is_ok_and(|found| FileId::of(&found) != *newest))
        };
        if is_new(fs::metadata(&self.path))
            && let Ok(file) = File::open(&self.path)
            && is_new(file.metadata())
        {
            self.successors.push_back(file);
        }
    }

    /// Ends it where it is.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        for reader in self.retired.iter_mut().map(|retired| &mut retired.reader).chain(&mut self.current) {
            reader.finish(sink);
        }
    }

    fn poll_current(&mut self, buffer: &mut [u8], sink: &mut Sink<'_>) -> io::Result<Progress> {
        let Some(current) = &mut self.current else {
            return Ok(self.open_next());
        };
        if current.read(buffer, sink)? > 0 {
            self.look();
            return Ok(Progress::Read);
        }
        if current.rewind_if_truncated(sink)? {
            sink.assembler.counters.truncations += 1;
            info!(file = %self.path.display(), "the file was truncated: reading it from its first byte");
            return Ok(Progress::Read);
        }
        sink.release_idle(&mut current.stream);
        match fs::metadata(&self.path) {
            Ok(metadata) if self.successors.is_empty() && FileId::of(&metadata) == current.id()? => {
                self.absence_said = false;
                Ok(Progress::Waiting)
            }
            Err(error) if self.successors.is_empty() => {
                // Its writer may still hold it open, as this does.
                self.say_absent(&error);
                Ok(Progress::Waiting)
            }
            Ok(_) | Err(_) => {
                self.retire(sink);
                sink.assembler.counters.rotations += 1;
                info!(file = %self.path.display(), "the file was rotated: reading the old one to its end, then the new one");
                Ok(Progress::Read)
            }
        }
    }

    fn open_next(&mut self) -> Progress {
        match self.successors.pop_front().map_or_else(|| File::open(&self.path), Ok) {
            Ok(file) => {
                info!(file = %self.path.display(), "following the file");
                self.absence_said = false;
                self.current = Some(self.reader(file));
                Progress::Read
            }
            Err(error) => {
                self.say_absent(&error);
                Progress::Waiting
            }
        }
    }

    fn reader(&mut self, file: File) -> Reader {
        let stream = self.next_stream.successor();
        Reader::new(&self.path, file, std::mem::replace(&mut self.next_stream, stream))
    }

    fn retire(&mut self, sink: &Sink<'_>) {
        let last_read = sink.now;
        self.retired.extend(self.current.take().map(|reader| Retired { reader, drained: false, last_read }));
    }

    fn say_absent(&mut self, failure: &io::Error) {
        if !std::mem::replace(&mut self.absence_said, true) {
            warn!(file = %self.path.display(), %failure, "cannot read the file: waiting for it");
        }
    }
}

impl Retired {
    /// Reads on; says whether there was anything.
    fn read(&mut self, buffer: &mut [u8], sink: &mut Sink<'_>) -> bool {
        match self.reader.read(buffer, sink) {
            Ok(1..) => {
                self.last_read = sink.now;
                return true;
            }
            Ok(0) => {}
            Err(error) => {
                sink.read_error(&self.reader.path, &error);
                self.last_read = DateTime::UNIX_EPOCH;
            }
        }
        if self.drained {
            sink.release_idle(&mut self.reader.stream);
        } else {
            // Its last event comes before the first one of the new file.
            sink.release(&mut self.reader.stream);
            self.drained = true;
        }
        false
    }

    /// Ends it once it has been quiet for long enough.
    fn is_over(&mut self, sink: &mut Sink<'_>) -> bool {
        let over = self.drained && (sink.now - self.last_read).abs() >= GRACE;
        if over {
            self.reader.finish(sink);
        }
        over
    }
}

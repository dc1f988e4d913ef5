//! One open file, read forward.

use super::{Begin, Progress, Sink, Stream};
use memchr::memrchr;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// An open file, how far it was read, and its stream.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) path: PathBuf,
    file: File,
    pub(super) stream: Stream,
    offset: u64,
}

/// What a file is, whatever its name. A file that is held open keeps its identity to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Reader {
    pub(super) fn new(path: &Path, file: File, stream: Stream) -> Reader {
        Reader { path: path.to_owned(), file, stream, offset: 0 }
    }

    pub(super) fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&self.file.metadata()?))
    }

    /// Starts there instead of at the first byte. At the end: behind the last newline, so that a line which is
    /// being written is read whole.
    pub(super) fn begin_at(&mut self, begin: Begin, buffer: &mut [u8]) -> io::Result<()> {
        if begin == Begin::End {
            let mut end = self.file.metadata()?.len();
            while end > 0 {
                let length = end.min(buffer.len() as u64);
                let block = &mut buffer[..length as usize];
                self.file.read_exact_at(block, end - length)?;
                if let Some(newline) = memrchr(b'\n', block) {
                    self.offset = self.file.seek(SeekFrom::Start(end - length + newline as u64 + 1))?;
                    return Ok(());
                }
                end -= length;
            }
        }
        Ok(())
    }

    /// Reads the next chunk; how many bytes, 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8], sink: &mut Sink<'_>) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Ok(length) => {
                    self.offset += length as u64;
                    sink.push(&mut self.stream, &buffer[..length]);
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a file that is not followed: at its end, it has ended.
    pub(super) fn read_whole(&mut self, buffer: &mut [u8], sink: &mut Sink<'_>) -> Progress {
        match self.read(buffer, sink) {
            Ok(1..) => return Progress::Read,
            Ok(0) => {}
            Err(error) => sink.read_error(&self.path, &error),
        }
        self.finish(sink);
        Progress::Ended
    }

    /// Starts again at the first byte if the file is shorter than what was read of it. Says whether it was.
    pub(super) fn rewind_if_truncated(&mut self, sink: &mut Sink<'_>) -> io::Result<bool> {
        if self.file.metadata()?.len() >= self.offset {
            return Ok(false);
        }
        self.finish(sink);
        self.offset = self.file.seek(SeekFrom::Start(0))?;
        Ok(true)
    }

    /// What was read is complete: nothing that comes follows on.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        sink.finish(&mut self.stream);
    }
}

//! One log file: its bytes, its lock and its checkpoint, kept together.
//!
//! Order, always: bytes → `fdatasync` → checkpoint → `fdatasync`. What a crash leaves behind the last checkpoint
//! is cut off when the file is opened again; Kafka still has it.
//!
//! The file is meant to be touched by others only for reading. What happens when somebody did more, found at
//! the start or (within a second) while running:
//!
//! | found | rule |
//! |---|---|
//! | longer than the checkpoint says | a crash: cut back to the checkpoint |
//! | missing, renamed, replaced | somebody rotated it: a new file goes on where the old one ended |
//! | the same, after a crash | the old one is cut back, too, if it is still in the folder |
//! | shorter, or other bytes at its end | somebody truncated or edited it: go on behind its last line |
//! | no checkpoint beside it, at the start | not ours: nothing is cut, go on behind its last line |
//! | the same, while running | somebody removed it: it is made again |
//!
//! Reading always goes on where the checkpoint says: what was taken away by hand is not written again.

use super::checkpoint::{Checkpoint, CheckpointFile, Links, Place, Position, TAIL_BYTES, read_tail};
use super::disk::DiskFile;
use super::lock::{FileLock, LockError, open_data};
use super::moved;
use crate::counts::{Counts, ServiceNames};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How often a running writer looks whether the file is still the one it opened.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// When a file is closed and put aside under a name with the time; none of the limits: never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotation {
    /// Once it has this many bytes.
    pub size: Option<u64>,
    /// Once it is this old.
    pub every: Option<Duration>,
}

/// Why a file can't be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another consumer writes it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The operating system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The file belongs to another topic.
    #[error("{} holds events of topic '{found}', not '{wanted}': choose another --file", path.display())]
    OtherTopic {
        /// The file.
        path: PathBuf,
        /// Topic in its checkpoint.
        found: String,
        /// Topic asked for.
        wanted: String,
    },
}

/// An open log file, ours alone.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    links: Links,
    file: DiskFile,
    length: u64,
    tail: Vec<u8>,
    opened: Instant,
    looked: Instant,
    rotation: Rotation,
    checkpoint: Checkpoint,
    checkpoint_file: CheckpointFile,
    _lock: FileLock,
}

impl LogFile {
    /// Locks, opens and repairs the file at `path` as the table above says.
    ///
    /// # Errors
    /// [`FileError`]; `Lock(Held)` when another consumer has it.
    pub fn open(
        path: &Path,
        links: Links,
        topic: &str,
        holder: &str,
        rotation: Rotation,
    ) -> Result<LogFile, FileError> {
        let lock = FileLock::try_take(path, holder)?;
        let io_error = |error| FileError::Io { path: path.to_owned(), error };
        let held =
            |_| LockError::Held("another process, by another path or without its lock file".to_owned());
        // Before the checkpoint is read, which the other one still writes.
        let file = open_data(path, links).map_err(io_error)?.map_err(held)?;
        let (checkpoint_file, last) = CheckpointFile::open(path).map_err(io_error)?;
        if let Some(last) = last.as_ref().filter(|last| last.topic != topic) {
            let (found, wanted) = (last.topic.clone(), topic.to_owned());
            return Err(FileError::OtherTopic { path: path.to_owned(), found, wanted });
        }
        let known = last.is_some();
        let now = Instant::now();
        let mut log_file = LogFile {
            path: path.to_owned(),
            links,
            file: DiskFile::new(file),
            length: 0,
            tail: Vec::new(),
            opened: now,
            looked: now,
            rotation,
            checkpoint: last.unwrap_or_else(|| Checkpoint::new(topic)),
            checkpoint_file,
            _lock: lock,
        };
        log_file.repair(known).map_err(io_error)?;
        log_file.begin().map_err(io_error)?;
        Ok(log_file)
    }

    fn repair(&mut self, known: bool) -> io::Result<()> {
        let found = self.file.file().metadata()?.len();
        let expected = self.checkpoint.length;
        if known && let Some(bytes) = self.checkpoint.surplus(self.file.file())? {
            if bytes > 0 {
                self.checkpoint.cut_back(self.file.file())?;
                info!(file = %self.path.display(), bytes, "cut back to the checkpoint");
            }
            self.length = expected;
            self.tail = read_tail(self.file.file(), expected)?;
            return Ok(());
        }
        if known && (found > 0 || expected > 0) {
            let file = self.path.display();
            match moved::find(&self.path, &self.checkpoint) {
                Ok(Some(mut moved)) => {
                    moved.cut_back(&self.checkpoint)?;
                    warn!(
                        %file, moved = %moved.path.display(), bytes = moved.surplus,
                        "somebody moved the file away: what it has behind the checkpoint comes here again, and is cut off \
                         there, into a file beside it that ends in .cut"
                    );
                }
                missing => warn!(
                    %file, expected, found, error = missing.err().map(tracing::field::display),
                    "somebody rotated, truncated or edited the file: going on behind its last line; in one that was \
                     moved elsewhere, what stands behind the expected length comes here again"
                ),
            }
        }
        self.go_on_behind(found)
    }

    /// Goes on behind the first `length` bytes, on a new line.
    fn go_on_behind(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        self.tail = read_tail(self.file.file(), length)?;
        if self.tail.last().is_some_and(|&byte| byte != b'\n') {
            self.append(b"\n")?;
        }
        Ok(())
    }

    /// Random name of this file, the same for every consumer that holds it.
    pub fn id(&self) -> &str {
        &self.checkpoint.file_id
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds of a partition.
    pub fn position(&self, partition: i32) -> Option<&Position> {
        self.checkpoint.partitions.get(&partition)
    }

    /// What the file holds of every partition that ever was in it.
    pub fn positions(&self) -> impl Iterator<Item = (i32, &Position)> {
        self.checkpoint.partitions.iter().map(|(&partition, position)| (partition, position))
    }

    /// Takes on a partition, durably with the next checkpoint.
    pub fn take_on(&mut self, partition: i32, start: &Place) {
        self.checkpoint.partitions.entry(partition).or_default().take_on(start);
    }

    /// Appends whole lines, behind the last line that is still there. Not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// What the operating system says; what was written of it is cut off at the next start.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (expected, found) = (self.length, self.file.file().metadata()?.len());
        if found < expected {
            let file = self.path.display();
            warn!(%file, expected, found, "somebody truncated the file: going on behind its last line");
            self.go_on_behind(found)?;
            if found < self.checkpoint.length {
                // A crash could not cut back to a length that is gone: what follows would be there twice.
                self.sync()?;
                self.write_checkpoint()?;
            }
        }
        if found > expected {
            // Not ours; a start would cut it off, too.
            self.file.file().set_len(expected)?;
        }
        self.file.append(lines, self.length)?;
        self.length += lines.len() as u64;
        let found = self.file.file().metadata()?.len();
        if found < self.length {
            warn!(file = %self.path.display(), "somebody truncated the file while it was written: a line may be cut");
            self.length = found;
            self.tail = read_tail(self.file.file(), found)?;
            return Ok(());
        }
        if lines.len() >= TAIL_BYTES {
            self.tail.clear();
            self.tail.extend_from_slice(&lines[lines.len() - TAIL_BYTES..]);
        } else {
            self.tail.extend_from_slice(lines);
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail.drain(..surplus);
        }
        Ok(())
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// What the operating system says. After a failed sync nobody knows what is on disk: the caller must end,
    /// and the next start cuts back to the checkpoint.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.file().sync_data()
    }

    /// Notes that what was appended so far holds a partition up to `next`, and `totals` of its events in all.
    pub fn advance(&mut self, partition: i32, next: i64, totals: &Counts, names: &ServiceNames) {
        let position = self.checkpoint.partitions.entry(partition).or_default();
        position.next = next;
        position.set_totals(totals, names);
    }

    /// Records durably what was noted. Everything appended must be synced.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write_checkpoint(&mut self) -> io::Result<()> {
        self.checkpoint.generation += 1;
        self.checkpoint.length = self.length;
        self.checkpoint.tail_crc = crc32fast::hash(&self.tail);
        self.checkpoint_file.write(&self.checkpoint)
    }

    /// Sees, once a second, whether the path still leads to our file; if not, goes on as the table says. Call it
    /// only right after a checkpoint.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn look_after(&mut self) -> io::Result<()> {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked = Instant::now();
        let ours = self.file.file().metadata()?;
        let moved = match self.path.metadata() {
            Ok(at_path) => at_path.ino() != ours.ino() || at_path.dev() != ours.dev(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if moved {
            warn!(file = %self.path.display(), "somebody moved the file away: going on in a new one");
            self.reopen()?;
        }
        // Not before the file at the path is known to be ours: then so is the checkpoint.
        if self.checkpoint_file.look_after()? {
            warn!(file = %self.path.display(), "somebody removed the checkpoint: it is made again");
            self.write_checkpoint()?;
        }
        Ok(())
    }

    /// Puts the file aside if it has reached a limit. Call it only right after a checkpoint: then a crash at
    /// any point leaves either the old file under its name, or a missing file, which a new one follows.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn rotate_if_due(&mut self) -> io::Result<()> {
        let too_large = self.rotation.size.is_some_and(|size| self.length >= size);
        let too_old = self.rotation.every.is_some_and(|every| self.opened.elapsed() >= every);
        if self.length == 0 || !(too_large || too_old) {
            return Ok(());
        }
        let aside = self.name_aside();
        std::fs::rename(&self.path, &aside)?;
        info!(file = %self.path.display(), to = %aside.display(), bytes = self.length, "rotated");
        self.reopen()
    }

    /// `logs.txt` → `logs.2026-11-22T071219.267847Z.txt`: in the order of names they are in the order of time. A
    /// number makes it unique should one be there already.
    fn name_aside(&self) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension =
            self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        let time = chrono::Utc::now().format("%Y-%m-%dT%H%M%S%.6fZ");
        (0..)
            .map(|n: u32| if n == 0 { String::new() } else { format!("-{n}") })
            .map(|number| self.path.with_file_name(format!("{stem}.{time}{number}{extension}")))
            .find(|path| !path.exists())
            .expect("some number is free")
    }

    /// Leaves the file that was open to whoever took it, and goes on in the one at the path.
    fn reopen(&mut self) -> io::Result<()> {
        // Makes our own renaming durable, too: the new file's folder is synced.
        let taken = |_| io::Error::other("another consumer took it over, as its lock file was removed");
        self.file = DiskFile::new(open_data(&self.path, self.links)?.map_err(taken)?);
        self.opened = Instant::now();
        let found = self.file.file().metadata()?.len();
        self.go_on_behind(found)?;
        self.sync()?;
        self.begin()
    }

    /// Records durably which file it is that is written from now on: in both slots, since the record of the one before is
    /// of no use for this one.
    fn begin(&mut self) -> io::Result<()> {
        self.checkpoint.inode = Some(self.file.file().metadata()?.ino());
        self.write_checkpoint()?;
        self.write_checkpoint()
    }

    /// Records durably that nothing stands behind what counts. Everything appended must be in a checkpoint. Once the file
    /// is moved, nothing is to be cut off it, whoever writes into it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn end(&mut self) -> io::Result<()> {
        self.checkpoint.inode = None;
        self.write_checkpoint()
    }
}

#[cfg(test)]
mod tests;

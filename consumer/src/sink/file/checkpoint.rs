//! What the file holds, durable beside it: `logs.txt.checkpoint`.
//!
//! Two slots of equal size are written in turn, so that a torn write destroys the older record at the most.
//! A record is one line of text, `crc32 json`, the rest of the slot is blank; the valid record of the highest
//! generation counts. In place, on blocks that exist already, a write costs one `fdatasync` and no change of
//! the file system's metadata. A record that outgrows its slot moves to a new file with larger ones, renamed
//! over the old one.

use super::lock::is_at;
use crate::counts::{Counts, ServiceNames};
use common::level::Level;
use common::units::format_size;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FIRST_SLOT_BYTES: usize = 16 << 10;

/// Both slots together; a larger file is no checkpoint, or none that could be written every few milliseconds. A thousand
/// services with the longest names that can be take 800 KB a partition, so it is room for hundreds of such partitions.
const MAX_BYTES: u64 = 1 << 30;

/// Everything that must be known to go on after a crash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Counts up with every record.
    pub generation: u64,
    /// Random name of this file, for as long as its checkpoint lives; the consumer that holds the file is
    /// known to the group by it.
    pub file_id: String,
    /// Topic whose events the file holds.
    pub topic: String,
    /// Bytes of the file that count; what follows is cut off at the start.
    pub length: u64,
    /// CRC-32 of the last (up to) [`TAIL_BYTES`] of those, by which the file is known again.
    pub tail_crc: u32,
    /// The file's number in its file system, by which it is found where somebody moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// By partition.
    pub partitions: BTreeMap<i32, Position>,
}

/// How much of the file's end its `tail_crc` covers.
pub const TAIL_BYTES: usize = 256;

/// How far the file is with one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Identity of the topic that `next` is an offset of; none when the broker gives topics none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Every offset below is in the file (or was rejected).
    pub next: i64,
    /// Events in the file by level, over the file's whole life.
    pub levels: BTreeMap<Level, u64>,
    /// Events in the file by service.
    pub services: BTreeMap<String, u64>,
}

/// An offset of a partition, and of which topic: a name can stand for one topic after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The offset.
    pub offset: i64,
    /// Identity of the topic, if the broker gives it one.
    pub topic_id: Option<String>,
}

/// False if these are identities of two topics: one was deleted and the other made anew under its name. What has no
/// identity is taken for the same.
pub fn same_topic(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

impl Position {
    /// A consumer begins to read here.
    pub fn take_on(&mut self, start: &Place) {
        self.next = start.offset;
        self.topic_id.clone_from(&start.topic_id);
    }

    /// Takes over counts.
    pub fn set_totals(&mut self, totals: &Counts, names: &ServiceNames) {
        for (level, count) in Level::ALL.into_iter().zip(totals.levels).filter(|(_, count)| *count > 0) {
            self.levels.insert(level, count);
        }
        let mut named = 0;
        names.for_each(totals, |name, count| {
            named += 1;
            match self.services.get_mut(name) {
                Some(sum) => *sum = count,
                None => drop(self.services.insert(name.to_owned(), count)),
            }
        });
        if named < self.services.len() {
            // Names that this process had no number left for: they are counted under another now.
            self.services.clear();
            names.for_each(totals, |name, count| {
                self.services.insert(name.to_owned(), count);
            });
        }
    }

    /// The counts, with services by number.
    pub fn totals(&self, names: &ServiceNames) -> Counts {
        let mut totals = Counts::default();
        for (&level, &count) in &self.levels {
            totals.levels[level as usize] = count;
        }
        for (name, &count) in &self.services {
            totals.add_service(names.id(name), count);
        }
        totals
    }
}

impl Checkpoint {
    /// Of a file that holds nothing yet.
    pub fn new(topic: &str) -> Checkpoint {
        Checkpoint {
            generation: 0,
            file_id: format!("{:016x}", rand::random::<u64>()),
            topic: topic.to_owned(),
            length: 0,
            tail_crc: 0,
            inode: None,
            partitions: BTreeMap::new(),
        }
    }

    /// How many bytes a file has behind what counts. None if it does not begin with what counts, by the end of that; and
    /// where nothing counts, which any file begins with, if it is not the very file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn surplus(&self, file: &File) -> io::Result<Option<u64>> {
        let metadata = file.metadata()?;
        let Some(surplus) = metadata.len().checked_sub(self.length) else { return Ok(None) };
        let ours = match self.length {
            0 => surplus == 0 || self.inode == Some(metadata.ino()),
            _ => crc32fast::hash(&read_tail(file, self.length)?) == self.tail_crc,
        };
        Ok(ours.then_some(surplus))
    }

    /// Cuts a file back to what counts, durably.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn cut_back(&self, file: &File) -> io::Result<()> {
        file.set_len(self.length)?;
        file.sync_all()
    }
}

/// The last (up to) [`TAIL_BYTES`] of the first `length` bytes.
///
/// # Errors
/// What the operating system says, or that there are not so many.
pub fn read_tail(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut tail = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(TAIL_BYTES)];
    let from = length - tail.len() as u64;
    file.read_exact_at(&mut tail, from)?;
    Ok(tail)
}

/// The checkpoint's file, open.
#[derive(Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    file: File,
    slot_bytes: usize,
    max_bytes: u64,
    buffer: Vec<u8>,
}

impl CheckpointFile {
    /// Where the checkpoint of `data_file` is.
    pub fn path_of(data_file: &Path) -> PathBuf {
        let mut name = data_file.as_os_str().to_owned();
        name.push(".checkpoint");
        PathBuf::from(name)
    }

    /// Opens the checkpoint of `data_file` and gives its last whole record, if there is any.
    ///
    /// # Errors
    /// What the operating system says, or that it is too large.
    pub fn open(data_file: &Path) -> io::Result<(CheckpointFile, Option<Checkpoint>)> {
        let path = Self::path_of(data_file);
        let file = create_durably(&path, Links::Refuse)?;
        let bytes = read(&path)?;
        let (slot_bytes, last) = last_record(&bytes);
        Ok((CheckpointFile { path, file, slot_bytes, max_bytes: MAX_BYTES, buffer: Vec::new() }, last))
    }

    /// Sees whether it is still at its path. If somebody removed it, it is made again, to be written once more; true
    /// then.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn look_after(&mut self) -> io::Result<bool> {
        if is_at(&self.file, &self.path) {
            return Ok(false);
        }
        self.file = create_durably(&self.path, Links::Refuse)?;
        self.file.set_len(0)?;
        self.file.set_len(2 * self.slot_bytes as u64)?;
        Ok(true)
    }

    /// Writes a record and syncs it. The record of the generation before stays intact.
    ///
    /// # Errors
    /// What the operating system says; the file may then hold this record or the one before. Or that the record is too
    /// large; then it holds the one before.
    pub fn write(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(b"00000000 ");
        serde_json::to_writer(&mut self.buffer, checkpoint)?;
        let crc = format!("{:08x}", crc32fast::hash(&self.buffer[9..]));
        self.buffer[..8].copy_from_slice(crc.as_bytes());
        if self.buffer.len() >= self.slot_bytes {
            return self.move_to_larger_slots(checkpoint.generation);
        }
        self.write_slot(checkpoint.generation)
    }

    fn write_slot(&mut self, generation: u64) -> io::Result<()> {
        self.buffer.resize(self.slot_bytes - 1, b' ');
        self.buffer.push(b'\n');
        let at = (generation % 2) * self.slot_bytes as u64;
        self.file.write_all_at(&self.buffer, at)?;
        self.file.sync_data()
    }

    fn move_to_larger_slots(&mut self, generation: u64) -> io::Result<()> {
        let mut slot_bytes = self.slot_bytes;
        while self.buffer.len() >= slot_bytes {
            slot_bytes *= 2;
        }
        check_size(&self.path, 2 * slot_bytes as u64, self.max_bytes)?;
        self.slot_bytes = slot_bytes;
        let mut new_path = self.path.clone().into_os_string();
        new_path.push(".new");
        let new_path = PathBuf::from(new_path);
        self.file = create_durably(&new_path, Links::Refuse)?;
        self.file.set_len(0)?;
        self.file.set_len(2 * self.slot_bytes as u64)?;
        // Both slots: the one before is left behind, and one that is damaged is not to be all there is.
        self.write_slot(generation)?;
        self.write_slot(generation + 1)?;
        self.file.sync_all()?;
        std::fs::rename(&new_path, &self.path)?;
        sync_folder(&self.path)
    }
}

/// The bytes of a checkpoint, all of them. What lies there may be anything; so memory must not depend on it.
///
/// # Errors
/// What the operating system says, or that it is too large.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    check_size(path, file.metadata()?.len(), MAX_BYTES)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_size(path: &Path, bytes: u64, at_most: u64) -> io::Result<()> {
    if bytes <= at_most {
        return Ok(());
    }
    let (path, bytes, at_most) = (path.display(), format_size(bytes), format_size(at_most));
    Err(io::Error::other(format!("{path} with {bytes} is larger than any checkpoint, at most {at_most}")))
}

/// How large the slots are, and the last whole record.
fn last_record(bytes: &[u8]) -> (usize, Option<Checkpoint>) {
    let slot_bytes = (bytes.len() / 2).max(FIRST_SLOT_BYTES);
    (slot_bytes, newest(bytes, slot_bytes))
}

/// The valid record of the highest generation.
fn newest(bytes: &[u8], slot_bytes: usize) -> Option<Checkpoint> {
    bytes.chunks(slot_bytes).take(2).filter_map(parse).max_by_key(|checkpoint| checkpoint.generation)
}

fn parse(slot: &[u8]) -> Option<Checkpoint> {
    let (crc, rest) = slot.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?.trim_end(), 16).ok()?;
    let json = rest.trim_ascii_end();
    let json = json.strip_suffix(b"\0").unwrap_or(json);
    (crc32fast::hash(json) == crc).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// What to do with a symbolic link where a file is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// The user named it: go where it leads.
    Follow,
    /// The name was made up here: whoever may write into the folder could have led us to any file.
    Refuse,
}

impl Links {
    pub(super) fn flags(self) -> i32 {
        match self {
            Links::Follow => 0,
            Links::Refuse => i32::try_from(OFlags::NOFOLLOW.bits()).expect("flags of open(2) are an int"),
        }
    }
}

/// Opens a file for reading and writing; a new one is there after a crash, too.
///
/// # Errors
/// What the operating system says.
pub fn create_durably(path: &Path, links: Links) -> io::Result<File> {
    let existed = path.exists();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640).custom_flags(links.flags());
    let file = options.open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) if links == Links::Refuse => {
            io::Error::other("it is a symbolic link, which is not followed here: remove it")
        }
        _ => error,
    })?;
    if !existed {
        sync_folder(path)?;
    }
    Ok(file)
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// What the operating system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;

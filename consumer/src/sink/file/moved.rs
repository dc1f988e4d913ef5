//! A file that was moved away within its folder while nobody wrote it: what a crash left in it behind the checkpoint
//! comes again, into the file that is now at the path, and must not stay in the old one.

use super::checkpoint::{Checkpoint, CheckpointFile, Links, sync_folder};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Cuts the file that was at `path` back to its checkpoint, under whatever name it has in the folder now, and gives that
/// name and the bytes that went: into a file beside it, lest somebody else had written them. None if it is not there, was
/// ended in order, is written by somebody, or has a checkpoint of its own by now.
///
/// # Errors
/// What the operating system says.
pub fn cut_back(path: &Path, checkpoint: &Checkpoint) -> io::Result<Option<(PathBuf, u64)>> {
    // An inode may have been given away again: by its length and the end of what counts the file is known for sure.
    let Some(inode) = checkpoint.inode.filter(|_| checkpoint.length > 0) else { return Ok(None) };
    let real = path.canonicalize()?;
    for entry in std::fs::read_dir(real.parent().unwrap_or(&real))? {
        let entry = entry?;
        let moved = entry.path();
        if entry.ino() != inode || !entry.file_type()?.is_file() || CheckpointFile::path_of(&moved).exists() {
            continue;
        }
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).custom_flags(Links::Refuse.flags()).open(&moved)?;
        if file.metadata()?.ino() == inode
            && file.try_lock().is_ok()
            && let Some(surplus) = checkpoint.surplus(&file)?
        {
            if surplus > 0 {
                keep_behind(&mut file, checkpoint.length, &moved)?;
                checkpoint.cut_back(&file)?;
            }
            return Ok(Some((moved, surplus)));
        }
    }
    Ok(None)
}

/// Copies what a file has behind `length`, durably, into `logs.txt.1.cut` of `logs.txt.1`.
fn keep_behind(file: &mut File, length: u64, path: &Path) -> io::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".cut");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640).custom_flags(Links::Refuse.flags());
    let mut kept = options.open(&beside)?;
    file.seek(SeekFrom::Start(length))?;
    io::copy(file, &mut kept)?;
    kept.sync_all()?;
    sync_folder(path)
}

//! A file that was moved away within its folder while nobody wrote it: what a crash left in it behind the checkpoint
//! comes again, into the file that is now at the path, and must not stay in the old one.

use super::checkpoint::{Checkpoint, Links};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{DirEntryExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Cuts the file that was at `path` back to its checkpoint, under whatever name it has in the folder now, and gives that
/// name and the bytes that went. None if it is not there, or is written by somebody.
///
/// # Errors
/// What the operating system says.
pub fn cut_back(path: &Path, checkpoint: &Checkpoint) -> io::Result<Option<(PathBuf, u64)>> {
    // An inode may have been given away again: by its length and the end of what counts the file is known for sure.
    let Some(inode) = checkpoint.inode.filter(|_| checkpoint.length > 0) else { return Ok(None) };
    let real = path.canonicalize()?;
    for entry in std::fs::read_dir(real.parent().unwrap_or(&real))? {
        let entry = entry?;
        if entry.ino() != inode || !entry.file_type()?.is_file() {
            continue;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(Links::Refuse.flags()).open(entry.path())?;
        if file.try_lock().is_ok()
            && let Some(surplus) = checkpoint.cut_back(&file)?
        {
            return Ok(Some((entry.path(), surplus)));
        }
    }
    Ok(None)
}

//! A file that was moved away within its folder while nobody wrote it: what a crash left in it behind the checkpoint
//! comes again, into the file that is now at the path, and must not stay in the old one.

use super::checkpoint::{Checkpoint, CheckpointFile, Links, sync_folder};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that was at a path.
pub struct Moved {
    file: File,
    /// Its name by now.
    pub path: PathBuf,
    /// Bytes behind the checkpoint.
    pub surplus: u64,
}

/// Looks for the file that was at `path`, under whatever name it has in the folder now. None if it is not there, was ended
/// in order, is written by somebody, or has a checkpoint of its own by now.
///
/// # Errors
/// What the operating system says.
pub fn find(path: &Path, checkpoint: &Checkpoint) -> io::Result<Option<Moved>> {
    // An inode may have been given away again: by its length and the end of what counts the file is known for sure.
    let Some(inode) = checkpoint.inode.filter(|_| checkpoint.length > 0) else { return Ok(None) };
    let real = path.canonicalize()?;
    for entry in std::fs::read_dir(real.parent().unwrap_or(&real))? {
        let entry = entry?;
        let path = entry.path();
        if entry.ino() != inode || !entry.file_type()?.is_file() || CheckpointFile::path_of(&path).exists() {
            continue;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(Links::Refuse.flags()).open(&path)?;
        if file.metadata()?.ino() == inode
            && file.try_lock().is_ok()
            && let Some(surplus) = checkpoint.surplus(&file)?
        {
            return Ok(Some(Moved { file, path, surplus }));
        }
    }
    Ok(None)
}

impl Moved {
    /// Cuts it back to the checkpoint; what goes is kept in `NAME.cut`, lest somebody else had written it.
    ///
    /// # Errors
    /// What the operating system says. Then it is as it was, and must be cut before what comes again is written.
    pub fn cut_back(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        if self.surplus == 0 {
            return Ok(());
        }
        let mut beside = OsString::from(&self.path);
        beside.push(".cut");
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640).custom_flags(Links::Refuse.flags());
        let mut kept = options.open(&beside)?;
        self.file.seek(SeekFrom::Start(checkpoint.length))?;
        io::copy(&mut self.file, &mut kept)?;
        kept.sync_all()?;
        sync_folder(&self.path)?;
        checkpoint.cut_back(&self.file)
    }
}

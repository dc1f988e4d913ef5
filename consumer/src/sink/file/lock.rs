//! One writer a file. The lock is the kernel's (`flock`), so it ends with its holder, however that dies.

use super::checkpoint::{Links, create_durably};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Held as long as this lives.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("held by {0}")]
    Held(String),
    /// The lock file can't be used.
    #[error("{}: {error}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

impl FileLock {
    /// Takes the lock of `data_file` (its lock file is `logs.txt.lock`) if it is free, and signs it with
    /// `holder`, so that who comes later can say who has it.
    ///
    /// # Errors
    /// [`LockError::Held`] names the holder.
    pub fn try_take(data_file: &Path, holder: &str) -> Result<FileLock, LockError> {
        let mut path = data_file.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let io_error = |error| LockError::Io { path: path.clone(), error };
        loop {
            let mut file = create_durably(&path, Links::Refuse).map_err(io_error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.read_to_string(&mut holder).map_err(io_error)?;
                    let holder = holder.trim();
                    let holder = if holder.is_empty() { "another process" } else { holder };
                    return Err(LockError::Held(holder.to_owned()));
                }
                Err(TryLockError::Error(error)) => return Err(io_error(error)),
            }
            // Somebody may have removed the file between open and lock: then ours is a lock on nothing.
            let same = path
                .metadata()
                .and_then(|at_path| Ok(at_path.ino() == file.metadata()?.ino()))
                .unwrap_or(false);
            if same {
                file.set_len(0).and_then(|()| file.rewind()).map_err(io_error)?;
                file.write_all(holder.as_bytes()).map_err(io_error)?;
                return Ok(FileLock { _file: file });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("logs.txt");
        let lock = FileLock::try_take(&data, "first").unwrap();
        let refused = FileLock::try_take(&data, "second").unwrap_err();
        assert_eq!(refused.to_string(), "held by first");
        drop(lock);
        FileLock::try_take(&data, "second").unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (data, precious) = (folder.path().join("logs.txt"), folder.path().join("precious"));
        std::fs::write(&precious, "as it was").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("logs.txt.lock")).unwrap();
        let error = FileLock::try_take(&data, "me").unwrap_err();
        assert!(error.to_string().contains("logs.txt.lock: it is a symbolic link"), "{error}");
        assert_eq!(std::fs::read(&precious).unwrap(), b"as it was");
    }

    #[test]
    fn a_lock_in_a_missing_folder_names_the_path() {
        let error = FileLock::try_take(Path::new("no/such/folder/logs.txt"), "me").unwrap_err();
        assert!(error.to_string().contains("no/such/folder/logs.txt.lock"), "{error}");
    }
}

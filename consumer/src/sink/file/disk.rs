//! How bytes get into the file: whole pages past the page cache, the rest through it.
//!
//! Copying into the page cache is what writing costs most, and a log that is synced at once gains nothing by it. So
//! of a large write the whole pages in its middle go to the disk directly (`O_DIRECT`), and only what is left of a
//! page at either end is buffered: a page is always written in one of the two ways, so neither sees the other's
//! bytes in half. Where the file system refuses direct writes, everything is buffered.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use tracing::debug;

/// Every disk's logical block divides it.
const PAGE_BYTES: usize = 4096;

/// Below this a direct write's wait for the disk costs more than the copy that it saves.
const DIRECT_FROM_BYTES: usize = 128 << 10;

/// A file that grows at its end.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    /// The same file once more, if it can be written directly.
    direct: Option<File>,
    /// Page-aligned memory, which direct writes need, somewhere inside.
    aligned: Vec<u8>,
}

impl DiskFile {
    /// Appends to a file that is open for reading and writing.
    pub fn new(file: File) -> DiskFile {
        // What is written goes to the end, wherever that is: into a file that somebody truncates meanwhile
        // (`copytruncate`) a write at the old end would leave a hole.
        let append = rustix::fs::fcntl_getfl(&file)
            .and_then(|flags| rustix::fs::fcntl_setfl(&file, flags | OFlags::APPEND));
        if let Err(error) = append {
            debug!(%error, "no appending");
        }
        let flags = (OFlags::DIRECT | OFlags::APPEND).bits();
        let flags = i32::try_from(flags).expect("flags of open(2) are an int");
        // By its descriptor: at its path there may be another one by now.
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = OpenOptions::new().write(true).custom_flags(flags).open(again);
        if let Err(error) = &direct {
            debug!(%error, "no direct writes");
        }
        DiskFile { file, direct: direct.ok(), aligned: Vec::new() }
    }

    /// The file, for everything but writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Appends `bytes` to the file, which has `length` bytes. Not durable before `sync_data`.
    ///
    /// # Errors
    /// What the operating system says; then any part of it may be written.
    pub fn append(&mut self, bytes: &[u8], length: u64) -> io::Result<()> {
        let to_page = (PAGE_BYTES - (length % PAGE_BYTES as u64) as usize) % PAGE_BYTES;
        if self.direct.is_none() || bytes.len() < to_page + DIRECT_FROM_BYTES {
            return self.file.write_all(bytes);
        }
        let (head, rest) = bytes.split_at(to_page);
        let (pages, tail) = rest.split_at(rest.len() - rest.len() % PAGE_BYTES);
        self.file.write_all(head)?;
        self.append_pages(pages)?;
        self.file.write_all(tail)
    }

    fn append_pages(&mut self, pages: &[u8]) -> io::Result<()> {
        let DiskFile { file, direct, aligned } = self;
        let Some(direct_file) = direct else { return file.write_all(pages) };
        if aligned.len() < pages.len() + PAGE_BYTES {
            aligned.resize(pages.len() + PAGE_BYTES, 0);
        }
        let start = aligned.as_ptr().align_offset(PAGE_BYTES);
        let copy = &mut aligned[start..start + pages.len()];
        copy.copy_from_slice(pages);
        let mut rest = &*copy;
        while !rest.is_empty() {
            match direct_file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file system takes no direct writes after all, or the file no longer ends with a page: the last
                // write was a short one, or somebody truncated the file.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    debug!(%error, "no direct writes any more");
                    *direct = None;
                    return file.write_all(rest);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Writes of any size behind each other give the file that one write would have given, wherever they
        /// begin and whether they are made directly or not.
        #[test]
        fn writes_behind_each_other(
            sizes in prop::collection::vec(prop_oneof![0..5_000_usize, 100_000..700_000_usize], 1..8),
            direct: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let mut disk = DiskFile::new(file);
            if !direct {
                disk.direct = None;
            }
            let mut expected = Vec::new();
            for (n, size) in sizes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..size).map(|i| (i * 31 + n) as u8).collect();
                disk.append(&bytes, expected.len() as u64).unwrap();
                expected.extend(bytes);
                prop_assert_eq!(disk.file().metadata().unwrap().len(), expected.len() as u64);
            }
            disk.file().sync_data().unwrap();
            prop_assert!(std::fs::read(&path).unwrap() == expected);
        }
    }

    /// Given a file that somebody truncates between a look at its length and the write, then no hole is left where
    /// the old bytes were.
    #[test]
    fn a_file_truncated_before_a_write_gets_no_hole() {
        let folder = tempfile::tempdir().unwrap();
        for size in [100, 500_000] {
            let path = folder.path().join(size.to_string());
            let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
            let mut disk = DiskFile::new(file);
            disk.append(&vec![b'a'; size], 0).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
            disk.append(&vec![b'b'; size], size as u64).unwrap();
            let found = std::fs::read(&path).unwrap();
            assert!(found == [vec![b'a'; 10], vec![b'b'; size]].concat(), "{} bytes", found.len());
        }
    }
}

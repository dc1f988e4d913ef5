//! How bytes get into the file: whole pages past the page cache, the rest through it.
//!
//! Copying into the page cache is what writing costs most, and a log that is synced at once gains nothing by it. So
//! of a large write the whole pages in its middle go to the disk directly (`O_DIRECT`), and only what is left of a
//! page at either end is buffered: a page is always written in one of the two ways, so neither sees the other's
//! bytes in half. Where the file system refuses direct writes, everything is buffered.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use tracing::debug;

/// Every disk's logical block divides it.
const PAGE_BYTES: usize = 4096;

/// Below this a direct write's wait for the disk costs more than the copy that it saves.
const DIRECT_FROM_BYTES: usize = 128 << 10;

/// A file open for reading and writing at any place.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    /// The same file once more, if it can be written directly.
    direct: Option<File>,
    /// Page-aligned memory, which direct writes need, somewhere inside.
    aligned: Vec<u8>,
}

impl DiskFile {
    /// Writes to a file that is open.
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

    /// Writes all of `bytes` at `offset`. Not durable before `sync_data`.
    ///
    /// # Errors
    /// What the operating system says; then any part of it may be written.
    pub fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let to_page = (PAGE_BYTES - (offset % PAGE_BYTES as u64) as usize) % PAGE_BYTES;
        if self.direct.is_none() || bytes.len() < to_page + DIRECT_FROM_BYTES {
            return self.file.write_all_at(bytes, offset);
        }
        let (head, rest) = bytes.split_at(to_page);
        let (pages, tail) = rest.split_at(rest.len() - rest.len() % PAGE_BYTES);
        let (pages_at, tail_at) = (offset + head.len() as u64, offset + (head.len() + pages.len()) as u64);
        self.file.write_all_at(head, offset)?;
        self.write_pages_at(pages, pages_at)?;
        self.file.write_all_at(tail, tail_at)
    }

    fn write_pages_at(&mut self, pages: &[u8], offset: u64) -> io::Result<()> {
        let DiskFile { file, direct, aligned } = self;
        let Some(direct_file) = direct else { return file.write_all_at(pages, offset) };
        if aligned.len() < pages.len() + PAGE_BYTES {
            aligned.resize(pages.len() + PAGE_BYTES, 0);
        }
        let start = aligned.as_ptr().align_offset(PAGE_BYTES);
        let copy = &mut aligned[start..start + pages.len()];
        copy.copy_from_slice(pages);
        match direct_file.write_all_at(copy, offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                debug!(%error, "the file system takes no direct writes after all");
                *direct = None;
                file.write_all_at(pages, offset)
            }
            result => result,
        }
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
                disk.write_all_at(&bytes, expected.len() as u64).unwrap();
                expected.extend(bytes);
                prop_assert_eq!(disk.file().metadata().unwrap().len(), expected.len() as u64);
            }
            disk.file().sync_data().unwrap();
            prop_assert!(std::fs::read(&path).unwrap() == expected);
        }
    }
}

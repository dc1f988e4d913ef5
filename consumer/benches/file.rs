//! How long appending to the log file takes: a round writes four blocks of 1 MiB, without and with a sync behind
//! them.
//!
//! "direct" is how the file is written, past the page cache; where the file system refuses that, it is the same as
//! "buffered", which is how it would be written then. Buffered, the bytes are on no disk before the sync: compare the
//! two with it. What direct writes save is processor time, and that is not what a clock shows: see `make bench`.

use consumer::hot::DiskFile;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

const BLOCK_BYTES: usize = 1 << 20;
const BLOCKS_A_ROUND: u64 = 4;

/// Then the file begins anew: a bench may fill no disk.
const LARGEST_FILE: u64 = 256 << 20;

const LINE: &str = r#"{"timestamp":"2026-11-22T07:12:19.267847Z","level":"INFO","service":"auth","producer":"k3x9q2","seq":123456,"due":1795331539267847,"message":"user 48211 logged in"}
"#;

/// Appends these bytes to a file of this length.
type Append = fn(&mut DiskFile, &[u8], u64) -> io::Result<()>;

fn appending(criterion: &mut Criterion) {
    // Whole lines, as a block has them: so it begins and ends in the middle of a page.
    let lines = BLOCK_BYTES.div_ceil(LINE.len());
    let block = LINE.repeat(lines).into_bytes();
    let mut group = criterion.benchmark_group("file");
    group.throughput(Throughput::ElementsAndBytes {
        elements: BLOCKS_A_ROUND * lines as u64,
        bytes: BLOCKS_A_ROUND * block.len() as u64,
    });
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for (name, append, synced) in [
        ("direct", DiskFile::append as Append, false),
        ("direct, synced", DiskFile::append, true),
        ("buffered", buffered, false),
        ("buffered, synced", buffered, true),
    ] {
        // Beside the build: the folder for temporary files may well be memory.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let file =
            File::options().read(true).write(true).create_new(true).open(folder.path().join("logs.txt"));
        let mut log = Log { disk: DiskFile::new(file.expect("a file")), length: 0, append, synced };
        group.bench_function(name, |bencher| {
            bencher
                .iter_custom(|rounds| (0..rounds).map(|_| log.round(&block).expect("a writable disk")).sum());
        });
    }
    group.finish();
}

struct Log {
    disk: DiskFile,
    length: u64,
    append: Append,
    synced: bool,
}

impl Log {
    /// How long it took.
    fn round(&mut self, block: &[u8]) -> io::Result<Duration> {
        if self.length >= LARGEST_FILE {
            self.disk.file().set_len(0)?;
            self.length = 0;
        }
        let start = Instant::now();
        for _ in 0..BLOCKS_A_ROUND {
            (self.append)(&mut self.disk, block, self.length)?;
            self.length += block.len() as u64;
        }
        if self.synced {
            self.disk.file().sync_data()?;
        }
        Ok(start.elapsed())
    }
}

/// What [`DiskFile::append`] does where there are no direct writes.
fn buffered(disk: &mut DiskFile, bytes: &[u8], _length: u64) -> io::Result<()> {
    disk.file().write_all(bytes)
}

criterion_group!(benches, appending);
criterion_main!(benches);

use super::*;
use crate::sink::file::checkpoint::CheckpointFile;
use common::level::Level;

const SYNC_INTERVAL: Duration = Duration::from_secs(4);

#[test]
fn which_files_are_ours() {
    let single = Layout::Single("data/logs.txt".into());
    let each = Layout::PerPartition("data/logs-{partition}.txt".into());
    for (layout, path, ours) in [
        (&single, "data/logs.txt", true),
        (&single, "data/./logs.txt.lock", true),
        (&single, "data/logs.txt.checkpoint", true),
        (&single, "data/logs.txt.hlog", false),
        (&each, "data/logs-12.txt", true),
        (&each, "data/logs-12.txt.lock", true),
        (&each, "data/latency.txt", false),
    ] {
        assert_eq!(layout.has(Path::new(path)), ours, "{path}");
    }
}

fn config(layout: Layout) -> FileConfig {
    FileConfig {
        layout,
        topic: "logs".into(),
        holder: "a test".into(),
        rotation: Rotation::default(),
        sync_interval: SYNC_INTERVAL,
        memory: 1 << 20,
    }
}

/// The name of a partition's file is made up here, so that whoever may write into the folder could have led us
/// anywhere; that of a single file the user has given.
#[test]
fn a_link_in_the_place_of_a_partition_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("logs-0.txt"), folder.path().join("elsewhere"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let each = config(Layout::PerPartition(folder.path().join("logs-{partition}.txt").display().to_string()));
    let error = FileSink::open(&each, 0).unwrap_err();
    assert!(error.to_string().contains("it is a symbolic link"), "{error}");
    assert!(!target.exists());
    drop(FileSink::open(&config(Layout::Single(link)), 0).unwrap());
    assert!(target.exists());
}

fn sinks(folder: &tempfile::TempDir, workers: usize) -> (Vec<FileSink>, JoinHandle<()>) {
    let config = config(Layout::Single(folder.path().join("logs.txt")));
    let file = FileSink::open(&config, 0).unwrap();
    let (names, acknowledged) = (ServiceNames::default(), Acknowledged::default());
    FileSink::start(&config, workers, Some(file), names, acknowledged, Metrics::new().0).unwrap()
}

fn take_on(sink: &mut FileSink, partition: i32) {
    sink.ensure_open(partition).unwrap();
    sink.take_on(partition, Place { offset: 0, topic_id: None });
}

/// One more event, offered to the writer. True if it took what there was.
fn push(sink: &mut FileSink, next: i64) -> bool {
    sink.block(0).push(b"{}", None);
    flush(sink, next)
}

fn flush(sink: &mut FileSink, next: i64) -> bool {
    let mut totals = Counts::default();
    totals.add(Level::Info, None);
    let before = sink.in_flight.len();
    sink.flush(false, 0, |_| vec![Progress::new(0, next, &totals)]);
    sink.in_flight.len() > before
}

/// Given a writer with something to sync, then what comes meanwhile is handed over before that sync is due, and
/// not an event at a time.
#[test]
fn what_comes_before_a_sync_is_synced_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sinks, writer) = sinks(&folder, 1);
    let mut sink = sinks.remove(0);
    take_on(&mut sink, 0);
    let started = Instant::now();
    assert!(push(&mut sink, 1), "an idle writer takes all at once");
    let began = Instant::now();
    assert!(!push(&mut sink, 2), "a busy one doesn't");
    while !flush(&mut sink, 2) {
        assert!(started.elapsed() < SYNC_INTERVAL, "it would have waited for the next sync");
        std::thread::yield_now();
    }
    assert!(began.elapsed() >= SYNC_INTERVAL / FRACTION);
    drop(sink);
    writer.join().unwrap();
    assert_eq!(std::fs::read(folder.path().join("logs.txt")).unwrap(), b"{}\n{}\n");
}

/// Given two workers with one file, then a partition is one worker's at a time, and each gets its own blocks back.
#[test]
fn workers_share_a_file_but_no_partition() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sinks, writer) = sinks(&folder, 2);
    let (mut second, mut first) = (sinks.remove(1), sinks.remove(0));
    take_on(&mut first, 0);
    take_on(&mut second, 1);
    let refused = second.ensure_open(0).unwrap_err();
    assert_eq!(refused.to_string(), "held by worker 0 of this process");
    let mut totals = Counts::default();
    totals.add(Level::Info, None);
    for (sink, partition, line) in [(&mut first, 0, b"{\"a\":1}"), (&mut second, 1, b"{\"b\":1}")] {
        sink.block(partition).push(line, None);
        sink.flush(true, 0, |_| vec![Progress::new(partition, 1, &totals)]);
        let done = sink.done().recv_timeout(SYNC_INTERVAL * 2).unwrap();
        let Done::Durable(block) = done else { panic!("{done:?}") };
        assert_eq!(block.progress[0].partition, partition);
    }
    first.close(0);
    second.ensure_open(0).unwrap();
    assert_eq!(second.durable().get(0).unwrap().next, 1, "what the first one wrote is known");
    first.close(0);
    first.ensure_open(0).unwrap_err();
    drop((first, second));
    writer.join().unwrap();
    assert_eq!(std::fs::read(folder.path().join("logs.txt")).unwrap(), b"{\"a\":1}\n{\"b\":1}\n");
}

/// Given a partition that is read elsewhere than the checkpoint says, as where Kafka lost its end, then a crash does not
/// undo that, even if nothing follows.
#[test]
fn where_reading_goes_on_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sinks, writer) = sinks(&folder, 1);
    let mut sink = sinks.remove(0);
    take_on(&mut sink, 0);
    assert!(push(&mut sink, 1_000));
    sink.take_on(0, Place { offset: 900, topic_id: None });
    let durable = || {
        let (_, checkpoint) = CheckpointFile::open(&folder.path().join("logs.txt")).unwrap();
        checkpoint.unwrap().partitions.get(&0).map(|position| position.next)
    };
    let started = Instant::now();
    while durable() != Some(900) {
        assert!(started.elapsed() < SYNC_INTERVAL * 5, "{:?}", durable());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    drop(sink);
    writer.join().unwrap();
}

/// Given a checkpoint that was renamed with its file, and names partitions that have files of their own now, then those
/// files say where they are.
#[test]
fn a_file_speaks_for_its_own_partition() {
    let folder = tempfile::tempdir().unwrap();
    let each = config(Layout::PerPartition(folder.path().join("logs-{partition}.txt").display().to_string()));
    let mut file = FileSink::open(&each, 0).unwrap();
    for partition in [0, 1] {
        file.advance(partition, 7, &Counts::default(), &ServiceNames::default());
    }
    file.end().unwrap();
    drop(file);
    let (names, acknowledged) = (ServiceNames::default(), Acknowledged::default());
    let started = FileSink::start(&each, 1, None, names, acknowledged, Metrics::new().0);
    let (mut sinks, writer) = started.unwrap();
    sinks[0].ensure_open(0).unwrap();
    assert_eq!(sinks[0].durable().get(0).unwrap().next, 7);
    assert_eq!(sinks[0].durable().get(1), None);
    drop(sinks);
    writer.join().unwrap();
}

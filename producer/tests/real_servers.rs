//! On real Kafka, with ZooKeeper and without: what the report says is what the topic holds.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic as tests do.

use common::decode::{Event, decode};
use common::report::ProducerReport;
use harness::{KafkaVersion, Program, Record, Signal, Stack, StackOptions, wait_until};
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaRespErr;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// One run of `producer` on a topic of its own.
struct Run<'s> {
    stack: &'s Stack,
    topic: &'static str,
    program: Program,
    report: PathBuf,
}

impl<'s> Run<'s> {
    fn start(stack: &'s Stack, topic: &'static str, arguments: &[&str]) -> Run<'s> {
        stack.create_topic(topic, 4).unwrap();
        let folder = stack.folder().join(topic);
        let report = folder.join("report.json");
        let bootstrap = stack.bootstrap();
        let common = ["--brokers", &bootstrap, "--topic", topic, "--report", "report.json"];
        let arguments = arguments.iter().chain(&common);
        let program = Program::start("producer", arguments, &[], &folder).unwrap();
        Run { stack, topic, program, report }
    }

    /// Waits for a good end; gives the report and what the topic holds.
    fn ended(&mut self) -> (ProducerReport, Vec<Record>) {
        let status = self.program.wait(2 * MINUTE).unwrap();
        assert!(status.success(), "{status} {}", self.program.stderr());
        let report = serde_json::from_slice(&std::fs::read(&self.report).unwrap()).unwrap();
        (report, self.stack.consume_all(self.topic).unwrap())
    }

    fn in_topic(&self) -> i64 {
        self.stack.high_watermarks(self.topic).unwrap().iter().sum()
    }
}

fn event(record: &Record) -> Event<'_> {
    decode(record.payload.as_deref().unwrap()).unwrap()
}

/// Every number from 1 on once, ascending in each partition, all acknowledged and nothing else: the report and the
/// topic agree.
#[track_caller]
fn assert_complete(report: &ProducerReport, records: &[Record]) {
    let mut last_by_partition: HashMap<i32, u64> = HashMap::new();
    let mut seqs = BTreeSet::new();
    for record in records {
        let event = event(record);
        assert_eq!(event.producer.as_deref(), Some(report.producer.as_str()));
        let seq = event.seq.unwrap();
        let last = last_by_partition.insert(record.partition, seq);
        assert!(last < Some(seq), "{seq} behind {last:?} in partition {}", record.partition);
        assert!(seqs.insert(seq), "{seq} stands twice");
    }
    let count = records.len() as u64;
    assert_eq!((seqs.first().copied(), seqs.last().copied()), (Some(1), Some(count)));
    assert_eq!((report.sent, report.acknowledged, report.failed), (count, count, 0));
    assert_eq!((report.first_acknowledged_seq, report.last_acknowledged_seq), (Some(1), Some(count)));
    assert!(report.unacknowledged.is_empty());
    assert_eq!(
        report.bytes,
        records.iter().map(|record| record.payload.as_ref().unwrap().len() as u64).sum::<u64>()
    );
    assert_eq!(report.ack_latency_ms.n, count);
}

#[test]
fn what_the_report_says_is_in_the_topic() {
    every_run_is_exact(KafkaVersion::ZooKeeper39);
}

#[test]
fn what_the_report_says_is_in_the_topic_of_kafka_4() {
    every_run_is_exact(KafkaVersion::KRaft4);
}

fn every_run_is_exact(kafka: KafkaVersion) {
    let stack = Stack::start(StackOptions { kafka, ..StackOptions::default() }).unwrap();
    counts_are_exact_at_a_rate(&stack);
    as_fast_as_possible_over_all_partitions(&stack);
    a_key_keeps_a_service_in_one_partition(&stack);
    sigterm_loses_nothing_that_was_acknowledged(&stack);
    files_are_shipped(&stack);
    what_is_too_large_is_told_and_the_rest_arrives(&stack);
    a_missing_topic_is_an_error_that_says_how_to_create_it(&stack);
}

fn counts_are_exact_at_a_rate(stack: &Stack) {
    let mut run = Run::start(
        stack,
        "paced",
        &["--rate", "5k", "--duration", "2s", "--seed", "1", "--producer", "steady-1"],
    );
    let (report, records) = run.ended();
    assert_eq!(
        (report.producer.as_str(), report.topic.as_str(), report.partitions),
        ("steady-1", "paced", 4)
    );
    assert_eq!(report.sent, 10_000);
    assert_complete(&report, &records);
    // Due on the schedule, a fifth of a millisecond apart, whenever it was sent.
    let dues: BTreeMap<u64, u64> =
        records.iter().map(event).map(|event| (event.seq.unwrap(), event.due.unwrap())).collect();
    let start = dues[&1] - 200;
    assert!(dues.iter().all(|(seq, due)| due.abs_diff(start + seq * 200) <= 1));
    let shares = stack.high_watermarks("paced").unwrap();
    // A quarter each, but what falls due while the machine stands still goes to one of them.
    assert!(shares.iter().all(|&share| share > 500), "spread unevenly: {shares:?}");
    // Fewer than one in each tick of the schedule.
    let (report, records) = Run::start(stack, "slow", &["--rate", "500", "--duration", "2s"]).ended();
    assert_complete(&report, &records);
    let shares = stack.high_watermarks("slow").unwrap();
    assert!(shares.iter().all(|&share| share > 50), "spread unevenly: {shares:?}");
    let printed = run.program.stdout();
    assert!(printed.contains("acknowledged 10,000  (seq 1 to 10000)"), "{printed}");
}

fn as_fast_as_possible_over_all_partitions(stack: &Stack) {
    let (report, records) = Run::start(stack, "fast", &["--rate", "max", "--count", "300k"]).ended();
    assert_eq!(report.sent, 300_000);
    assert_complete(&report, &records);
    let partitions: BTreeSet<i32> = records.iter().map(|record| record.partition).collect();
    assert_eq!(partitions.len(), 4);
    assert!(records.iter().all(|record| record.key.is_none()));
}

fn a_key_keeps_a_service_in_one_partition(stack: &Stack) {
    let (report, records) =
        Run::start(stack, "keyed", &["--rate", "max", "--count", "20k", "--key", "service"]).ended();
    assert_complete(&report, &records);
    let mut partitions: HashMap<String, BTreeSet<i32>> = HashMap::new();
    for record in &records {
        let service = event(record).service.unwrap().into_owned();
        assert_eq!(record.key.as_deref(), Some(service.as_bytes()));
        partitions.entry(service).or_default().insert(record.partition);
    }
    assert_eq!(partitions.len(), 8);
    assert!(partitions.values().all(|partitions| partitions.len() == 1), "{partitions:?}");
}

fn sigterm_loses_nothing_that_was_acknowledged(stack: &Stack) {
    let mut run = Run::start(stack, "stopped", &["--rate", "20k"]);
    wait_until("events in the topic", MINUTE, || run.in_topic() > 20_000).unwrap();
    run.program.signal(Signal::TERM).unwrap();
    let (report, records) = run.ended();
    assert!(report.sent > 20_000);
    assert_complete(&report, &records);
}

fn files_are_shipped(stack: &Stack) {
    let file = stack.folder().join("app.log");
    let json = r#"{"level":"warn","msg":"kept","nested":{"a":[1,2]},"big":12345678901234567890123}"#;
    let lines = "2026-11-22 07:12:19,267 ERROR [main] boom\njava.lang.IllegalStateException: no order\n\tat a.B(C.java:1)\n";
    std::fs::write(&file, format!("plain text\n{json}\n{lines}last line without an end")).unwrap();
    let mut run = Run::start(stack, "shipped", &["ship", file.to_str().unwrap(), "--key", "service"]);
    let (report, records) = run.ended();
    assert_complete(&report, &records);
    let events: Vec<Event<'_>> = records.iter().map(event).collect();
    let messages: Vec<&str> = events.iter().map(|event| &*event.message).collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert_eq!((messages[0], messages[1], messages[3]), ("plain text", "kept", "last line without an end"));
    assert!(
        messages[2].contains("boom\njava.lang.IllegalStateException") && messages[2].ends_with("(C.java:1)")
    );
    assert!(records[1].text().starts_with(json.trim_end_matches('}')), "{}", records[1].text());
    assert!(records.iter().all(|record| record.key.as_deref() == Some(b"app")));
    assert!(run.program.stdout().contains("read         6 lines"), "{}", run.program.stdout());
}

fn what_is_too_large_is_told_and_the_rest_arrives(stack: &Stack) {
    let file = stack.folder().join("large.log");
    // One stands first in its batch, where a partition is chosen for all of it.
    let large = "x".repeat(20_000);
    std::fs::write(&file, format!("{large}\nsmall\n{large}\nlast\n")).unwrap();
    let arguments = ["ship", file.to_str().unwrap(), "--kafka", "message.max.bytes=10000"];
    let mut run = Run::start(stack, "large", &arguments);
    assert_eq!(run.program.wait(MINUTE).unwrap().code(), Some(1));
    let report: ProducerReport = serde_json::from_slice(&std::fs::read(&run.report).unwrap()).unwrap();
    assert_eq!((report.sent, report.acknowledged, report.failed), (4, 2, 2));
    // The gaps are those between the first and the last that were acknowledged.
    assert_eq!((report.first_acknowledged_seq, report.last_acknowledged_seq), (Some(2), Some(4)));
    assert_eq!(report.unacknowledged, [(3, 3)]);
    assert_eq!(run.in_topic(), 2);
    assert!(
        run.program.stderr().contains("error: 2 of 4 events were not acknowledged"),
        "{}",
        run.program.stderr()
    );
    assert!(run.program.stdout().contains("too large"), "{}", run.program.stdout());
}

fn a_missing_topic_is_an_error_that_says_how_to_create_it(stack: &Stack) {
    let folder = stack.folder().join("missing");
    let bootstrap = stack.bootstrap();
    let arguments = ["--brokers", &bootstrap, "--topic", "missing", "--count", "1"];
    let mut program = Program::start("producer", arguments, &[], &folder).unwrap();
    assert_eq!(program.wait(MINUTE).unwrap().code(), Some(1));
    let error = program.stderr();
    assert!(
        error.starts_with("error: topic 'missing' does not exist")
            && error.contains("--create --topic missing"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn a_broker_killed_and_restarted_costs_nothing_and_doubles_nothing() {
    a_broker_killed_and_restarted(KafkaVersion::ZooKeeper39);
}

#[test]
fn a_broker_of_kafka_4_killed_and_restarted_costs_nothing_and_doubles_nothing() {
    a_broker_killed_and_restarted(KafkaVersion::KRaft4);
}

fn a_broker_killed_and_restarted(kafka: KafkaVersion) {
    let stack = Stack::start(StackOptions { kafka, ..StackOptions::default() }).unwrap();
    let mut run = Run::start(&stack, "logs", &["--rate", "10k", "--count", "200k"]);
    wait_until("events in the topic", MINUTE, || run.in_topic() > 10_000).unwrap();
    stack.kill_kafka().unwrap();
    wait_until("the warning", MINUTE, || run.program.stderr().contains("no acknowledgement for")).unwrap();
    stack.start_kafka().unwrap();
    let (report, records) = run.ended();
    assert_eq!(report.sent, 200_000);
    assert_complete(&report, &records);
    assert!(run.program.stderr().contains("acknowledgements come again"), "{}", run.program.stderr());
    // Sent late, and said so: the latency counts from when they were due.
    assert!(report.ack_latency_ms.max > 1_000.0, "{:?}", report.ack_latency_ms);
}

/// Given a topic that is made anew while events flow, whose partitions have other leaders than before, which changed
/// less often, then what is sent from then on is acknowledged, and is there.
#[test]
fn a_topic_made_anew_on_other_brokers_is_written_to() {
    let stack = Stack::start(StackOptions { brokers: 2, ..StackOptions::default() }).unwrap();
    stack.create_topic_led_by("logs", &[0, 1, 0, 1]).unwrap();
    stack.stop_kafka().unwrap();
    stack.start_kafka().unwrap();
    let mut run = Run::start(&stack, "logs", &["--rate", "5k", "--count", "100k"]);
    // A broker that has just started may not know them all yet.
    let ends = || stack.high_watermarks("logs").ok();
    wait_until("events in the topic", MINUTE, || ends().filter(|ends| ends.iter().sum::<i64>() > 10_000))
        .unwrap();
    stack.delete_topic("logs").unwrap();
    stack.create_topic_led_by("logs", &[1, 0, 1, 0]).unwrap();
    let (report, records) = run.ended();
    assert_eq!((report.sent, report.acknowledged, report.failed), (100_000, 100_000, 0));
    let mut seqs: Vec<u64> = records.iter().filter_map(|record| event(record).seq).collect();
    seqs.sort_unstable();
    let count = seqs.len();
    seqs.dedup();
    assert_eq!(seqs.len(), count, "nothing doubled");
    // What the topic before had is gone with it.
    assert!(seqs[0] > 10_000 && seqs.ends_with(&[99_999, 100_000]), "{:?}", seqs.first());
}

#[test]
fn a_broker_that_stays_away_fails_events_one_by_one_and_the_report_names_them() {
    let stack = Stack::start(StackOptions::default()).unwrap();
    let arguments = ["--rate", "10k", "--count", "60k", "--kafka", "delivery.timeout.ms=2000"];
    let mut run = Run::start(&stack, "logs", &arguments);
    wait_until("events in the topic", MINUTE, || run.in_topic() > 10_000).unwrap();
    stack.kill_kafka().unwrap();
    assert_eq!(run.program.wait(MINUTE).unwrap().code(), Some(1));
    assert!(run.program.stderr().contains("events were not acknowledged"), "{}", run.program.stderr());
    let report: ProducerReport = serde_json::from_slice(&std::fs::read(&run.report).unwrap()).unwrap();
    assert_eq!(report.sent, 60_000);
    assert_eq!(report.acknowledged + report.failed, report.sent);
    assert!(report.acknowledged > 10_000 && report.failed > 0, "{report:?}");

    stack.start_kafka().unwrap();
    let records = stack.consume_all("logs").unwrap();
    let seqs: BTreeSet<u64> = records.iter().filter_map(|record| event(record).seq).collect();
    assert_eq!(seqs.len(), records.len(), "nothing doubled");
    let acknowledged: Vec<u64> = (report.first_acknowledged_seq.unwrap()
        ..=report.last_acknowledged_seq.unwrap())
        .filter(|seq| !report.unacknowledged.iter().any(|&(first, last)| (first..=last).contains(seq)))
        .collect();
    assert_eq!(acknowledged.len() as u64, report.acknowledged);
    assert!(acknowledged.iter().all(|seq| seqs.contains(seq)), "what is acknowledged is there");
}

#[test]
fn lines_that_were_read_and_not_sent_are_said() {
    let stack = Stack::start(StackOptions::default()).unwrap();
    let file = stack.folder().join("app.log");
    std::fs::write(&file, "").unwrap();
    let arguments =
        ["ship", "--follow", file.to_str().unwrap(), "--kafka", "queue.buffering.max.messages=1000"];
    let mut run = Run::start(&stack, "logs", &arguments);
    wait_until("the run to begin", MINUTE, || run.program.stderr().contains("sending")).unwrap();
    stack.freeze_kafka().unwrap();
    std::fs::write(&file, "a line\n".repeat(20_000)).unwrap();
    wait_until("the queue to be full", MINUTE, || run.program.stderr().contains("events wait")).unwrap();
    run.program.signal(Signal::TERM).unwrap();
    wait_until("the end to begin", MINUTE, || run.program.stderr().contains("ending: waiting")).unwrap();
    stack.resume_kafka().unwrap();
    assert_eq!(run.program.wait(MINUTE).unwrap().code(), Some(1));
    assert!(run.program.stderr().contains("events were read and not sent"), "{}", run.program.stderr());
}

/// A broker that has just started may deny for a moment that it knows the topic. librdkafka believes that once it
/// has known the topic for longer than its grace, unless its knowledge is renewed. A real broker denies it too
/// seldom to be waited for, so here a mock does: a grace of 8 s, renewed every second, and after more than that a
/// topic that is denied for longer than a renewal takes.
#[test]
fn a_topic_denied_for_a_moment_after_a_long_time_costs_nothing() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("logs", 2, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = cluster.bootstrap_servers();
    let mut arguments = vec!["--brokers", &bootstrap, "--rate", "1k", "--count", "16k"];
    for property in ["topic.metadata.propagation.max.ms=8000", "metadata.max.age.ms=1000"] {
        arguments.extend(["--kafka", property]);
    }
    let started = Instant::now();
    let mut program = Program::start("producer", arguments, &[], folder.path()).unwrap();
    wait_until("the grace to be over", MINUTE, || started.elapsed() > Duration::from_secs(10)).unwrap();
    cluster.topic_error("logs", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    wait_until("the client to have asked", MINUTE, || started.elapsed() > Duration::from_secs(13)).unwrap();
    cluster.topic_error("logs", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    let status = program.wait(MINUTE).unwrap();
    assert!(status.success(), "{status} {}\n{}", program.stdout(), program.stderr());
    assert!(program.stdout().contains("acknowledged 16,000"), "{}", program.stdout());
}

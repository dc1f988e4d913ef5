//! Impossible configurations: one clear line, the right exit code, no backtrace.

use harness::Program;
use std::time::Duration;
use tempfile::TempDir;

fn refused(arguments: &[&str], code: i32, says: &str) {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let mut program = Program::start("consumer", arguments, &[], folder.path()).unwrap();
    let status = program.wait(Duration::from_secs(20)).unwrap();
    let output = program.stderr();
    assert_eq!(status.code(), Some(code), "{arguments:?}: {output}");
    assert!(output.contains(says), "{arguments:?} should say '{says}': {output}");
    assert!(!output.contains("panicked") && !output.contains("backtrace"), "{output}");
    let problems = output.lines().filter(|line| line.contains("error") || line.contains("ERROR")).count();
    assert_eq!(problems, 1, "one line: {output}");
}

#[test]
fn wrong_flags_end_with_code_2() {
    refused(&["--nonsense"], 2, "--nonsense");
    refused(&["--memory", "much"], 2, "expected a size such as 64MiB");
    refused(&["--memory", "1MiB"], 2, "--memory must be at least 16MiB");
    refused(&["--workers", "0"], 2, "--workers must be between 1 and 64");
    refused(&["--workers", "7"], 2, "--memory must be at least 16MiB for each of --workers");
    refused(&["--latency-log", "logs.txt"], 2, "--latency-log logs.txt is a file of --file");
    refused(&["--batch-events", "0"], 2, "--batch-events must be between 1 and 100k");
    refused(&["--sync-interval", "soon"], 2, "expected a duration such as 250ms");
    refused(&["--sync-interval", "5m"], 2, "--sync-interval must be at most 60s");
    refused(&["--redis-url", "http://somewhere"], 2, "--redis-url must look like redis://");
    refused(&["--redis-recent", "0"], 2, "--redis-recent must be at least 1");
    refused(&["--redis-prefix", "a b"], 2, "--redis-prefix must be");
    refused(&["--redis-expiry", "1s"], 2, "--redis-expiry must be between");
    refused(&["--file", "logs-{host}.txt"], 2, "only {partition} and {instance}");
    refused(&["--file", "folder"], 2, "is a folder");
    refused(&["--file", "folder/"], 2, "does not name a file");
    refused(&["--file", "l-{instance}.txt", "--instance", "../x"], 2, "--instance");
    refused(&["--rotate-size", "0"], 2, "must be more than zero");
    refused(&["--rejected-topic", "logs"], 2, "--rejected-topic must differ");
    refused(&["--max-event-bytes", "0"], 2, "--max-event-bytes must be between");
    refused(&["--metrics-addr", "nowhere"], 2, "--metrics-addr");
    refused(&["--kafka", "linger"], 2, "expected KEY=VALUE");
    refused(&["--kafka", "no.such.property=1"], 2, "no.such.property=1");
    refused(&["--kafka", "partition.assignment.strategy=range"], 2, "needs cooperative-sticky");
    refused(&["--kafka", "group.id=mine"], 2, "use --group");
    refused(&["rejected", "list", "--kafka", "no.such.property=1"], 2, "no.such.property=1");
    refused(&["rejected", "replay", "--kafka", "transactional.id=mine"], 2, "only one may commit");
    refused(&["rejected", "list", "--kafka", "isolation.level=read_uncommitted"], 2, "was not brought back");
    refused(&["--brokers", ""], 2, "--brokers names no broker");
    refused(&["--file", "no/such/folder/logs.txt"], 2, "create the folder no/such/folder first");
    refused(
        &["--file", "no/\u{1b}\nerror: \u{202e}/logs.txt"],
        2,
        r"create the folder no/\u001b\nerror: \u202e first",
    );
    refused(&["--\u{1b}\nOK\u{202e}"], 2, r"--\u001b\nOK\u202e");
}

#[test]
fn what_only_shows_later_ends_with_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["--metrics-addr", &address], 1, "can't be listened on");
    refused(&["verify", "no\u{1b}\nerror: \u{202e}"], 1, r"cannot open no\u001b\nerror: \u202e");
    let log = ["--metrics-addr", "127.0.0.1:0", "--latency-log", "no/such/folder/log"];
    refused(&log, 1, "--latency-log no/such/folder/log can't be written");
}

#[test]
fn a_second_consumer_may_refuse_to_stand_by() {
    let folder = TempDir::new().unwrap();
    let lock = std::fs::File::create(folder.path().join("logs.txt.lock")).unwrap();
    lock.lock().unwrap();
    let arguments = ["--no-standby", "--metrics-addr", "127.0.0.1:0"];
    let mut program = Program::start("consumer", arguments, &[], folder.path()).unwrap();
    assert_eq!(program.wait(Duration::from_secs(20)).unwrap().code(), Some(1));
    assert!(program.stderr().contains("logs.txt is held by another process"), "{}", program.stderr());
}

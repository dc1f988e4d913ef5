//! What needs no broker: one clear line, the right exit status, no backtrace.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic as tests do.

use harness::{Program, Signal, ports::free_port, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut program =
        Program::start("producer", arguments, &[("RUST_BACKTRACE", "1")], folder.path()).unwrap();
    let code = program.wait(SOON).unwrap().code();
    Ended { code, stdout: program.stdout(), stderr: program.stderr() }
}

#[test]
fn an_impossible_configuration_is_one_line_and_status_2() {
    for (arguments, hint) in [
        (&["--rate", "max", "--profile", "spike"][..], "give one with --rate"),
        (&["--count", "0"], "give at least 1"),
        (&["--topic", "a b"], "is no name of a topic"),
        (&["--kafka", "no.such=1"], "No such configuration property"),
        (&["--kafka", "acks=0"], "acks=all"),
        (&["--kafka", "max.in.flight=20"], "max.in.flight"),
        (&["--report", "/no/such/folder/report.json"], "create the folder /no/such/folder first"),
        (&["ship", "/no/such/file.log"], "/no/such/file.log"),
        (&["ship", "-", "-"], "only once"),
        (&["ship", "/no/\u{1b}[2J\nOK\u{202e}"], r"/no/\u001b[2J\nOK\u202e: "),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains(hint),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    for (arguments, hint) in [
        (&["--rate", "fast"][..], "expected a number such as 250, 500k or 1.5M, not 'fast'"),
        (&["--levels", "LOUD=3"], "expected TRACE, DEBUG, INFO"),
        (&["--profile", "spike:for=2m,every=1m"], "does not fit"),
        (&["--rate", "5", "ship", "-"], "cannot be used with"),
        (&["ship"], "required"),
        (&["--\u{1b}[2J\nerror: OK\u{202e}"], r"unexpected argument '--\u001b[2J\nerror: OK\u202e' found"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        let first = ended.stderr.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("error: ") && ended.stderr.contains(hint),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("backtrace"));
    }
}

#[test]
fn without_a_broker_it_says_so_waits_and_gives_up() {
    let broker = format!("127.0.0.1:{}", free_port().unwrap());
    let ended = run(&["--brokers", &broker, "--count", "5", "--wait", "5s"]);
    assert_eq!(ended.code, Some(1));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ended.stderr);
    assert!(
        lines[0].contains("WARN") && lines[0].contains(&broker) && lines[0].contains("Connection refused"),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("error: no broker at ") && lines[1].contains("--wait"), "{}", lines[1]);
}

#[test]
fn a_signal_ends_the_wait_for_a_broker() {
    let broker = format!("127.0.0.1:{}", free_port().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start("producer", ["--brokers", &broker], &[], folder.path()).unwrap();
    wait_until("the warning", SOON, || program.stderr().contains("not reachable")).unwrap();
    program.signal(Signal::INT).unwrap();
    assert_eq!(program.wait(SOON).unwrap().code(), Some(1));
    assert!(program.stderr().contains("nothing was sent"), "{}", program.stderr());
}

#[test]
fn help_teaches() {
    let ended = run(&["--help"]);
    assert_eq!(ended.code, Some(0));
    for part in [
        "producer --rate 100k --duration 20s",
        "Exit codes:",
        "KAFKA_BROKERS",
        "spike:times=5,for=10s,every=1m",
    ] {
        assert!(ended.stdout.contains(part), "{part}");
    }
}

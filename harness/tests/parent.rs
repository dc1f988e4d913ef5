//! Servers die with the program that started them, however it dies.

use harness::{Program, Signal, wait_until};
use std::path::Path;
use std::time::Duration;

#[test]
fn servers_die_when_their_parent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Program::start("harness", ["run-stack"], &[], folder.path()).unwrap();
    wait_until("three servers", Duration::from_secs(180), || {
        assert!(parent.is_running().unwrap(), "{}", parent.stderr());
        parent.stdout().contains("ready")
    })
    .unwrap();

    let servers: Vec<u32> = (parent.stdout().lines())
        .filter_map(|line| {
            line.strip_prefix("kafka-1 ").or(line.strip_prefix("zookeeper ")).or(line.strip_prefix("redis "))
        })
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(servers.len(), 3, "{}", parent.stdout());
    assert!(servers.iter().all(|&pid| is_alive(pid)));

    parent.signal(Signal::KILL).unwrap();
    parent.wait(Duration::from_secs(10)).unwrap();
    wait_until("all servers to be gone", Duration::from_secs(10), || {
        !servers.iter().any(|&pid| is_alive(pid))
    })
    .unwrap();
}

#[test]
fn a_program_can_be_stopped_continued_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start("harness", ["run-stack"], &[], folder.path()).unwrap();
    wait_until("its first line", Duration::from_secs(30), || program.stdout().contains("starting")).unwrap();

    program.signal(Signal::STOP).unwrap();
    wait_until("it to stop", Duration::from_secs(10), || state(program.pid()) == Some('T')).unwrap();
    program.signal(Signal::CONT).unwrap();
    wait_until("it to continue", Duration::from_secs(10), || state(program.pid()) != Some('T')).unwrap();

    assert!(program.wait(Duration::ZERO).is_err(), "it still runs");
    program.signal(Signal::TERM).unwrap();
    assert!(program.wait(Duration::from_secs(180)).unwrap().success(), "{}", program.stderr());
    assert!(program.signal(Signal::TERM).is_err(), "it has ended");
}

#[test]
fn a_program_that_was_not_built_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Program::start("no-such-program", [""; 0], &[], folder.path()).unwrap_err();
    assert!(error.to_string().contains("no-such-program is not there: run cargo build"), "{error}");
}

fn is_alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z'))
}

/// `R`unning, `S`leeping, s`T`opped, `Z`ombie …; none when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

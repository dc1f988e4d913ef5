use crate::source::ship::{Counters, Ship, ShipArgs, State};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    ship: ShipArgs,
}

fn open(flags: &[&str], files: &[&Path]) -> anyhow::Result<Ship> {
    let files = files.iter().map(|file| file.as_os_str());
    let words = ["ship", "--utc", "--host", "h"].iter().chain(flags).map(std::ffi::OsStr::new);
    Ship::open(&Command::try_parse_from(words.chain(files)).unwrap().ship, "k3x9qd")
}

/// A run driven by hand, on a clock of its own.
struct Run {
    ship: Ship,
    now: DateTime<Utc>,
}

impl Run {
    fn start(flags: &[&str], files: &[&Path]) -> Run {
        Run { ship: open(flags, files).unwrap(), now: "2026-11-22T12:00:00Z".parse().unwrap() }
    }

    /// `service: message` of what there is to read at this moment, and how it stands then.
    fn read(&mut self) -> (Vec<String>, State) {
        let mut out = Vec::new();
        let state = loop {
            match self.ship.next_batch(self.now, &mut out) {
                State::More => {}
                state @ (State::Idle | State::End) => break state,
            }
        };
        (out.into_iter().map(told).collect(), state)
    }

    /// The same a while later, when nothing waits for a further line any more.
    fn read_later(&mut self) -> Vec<String> {
        let (mut events, _) = self.read();
        self.now += TimeDelta::seconds(1);
        events.extend(self.read().0);
        events
    }

    fn counters(&self) -> Counters {
        self.ship.counters()
    }
}

fn told(event: crate::source::ship::ShippedLine) -> String {
    let service = event.service().unwrap_or("none").to_owned();
    let mut wire = Vec::new();
    event.encode("k3x9qd", 1, &mut wire);
    format!("{service}: {}", common::decode::decode(&wire).unwrap().message)
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.log");
    (folder, file)
}

#[test]
fn whole_files_are_read_first_to_last_and_a_last_line_without_newline_ships() {
    let (folder, app) = folder();
    let other = folder.path().join("other.log.1");
    fs::write(&app, "one\ntwo\n").unwrap();
    fs::write(&other, "three\n  more\nfour").unwrap();
    let (events, state) = Run::start(&[], &[&app, &other]).read();
    assert_eq!(events, ["app: one", "app: two", "other: three\n  more", "other: four"]);
    assert_eq!(state, State::End);
}

#[test]
fn what_is_appended_follows_and_an_unfinished_line_waits() {
    let (_folder, app) = folder();
    append(&app, "one\ntw");
    let mut run = Run::start(&["--follow"], &[&app]);
    assert_eq!(run.read_later(), ["app: one"]);
    append(&app, "o\n");
    assert_eq!(run.read(), (vec![], State::Idle), "the event waits for a further line");
    append(&app, "  of two\nthree\n");
    assert_eq!(run.read_later(), ["app: two\n  of two", "app: three"]);
}

#[test]
fn from_the_end_ships_what_is_finished_from_now_on() {
    let (_folder, app) = folder();
    append(&app, "old\nbeing wri");
    let mut run = Run::start(&["--follow", "--from", "end"], &[&app]);
    append(&app, "tten\nnew\n");
    assert_eq!(run.read_later(), ["app: being written", "app: new"]);
    let long = "x".repeat(super::CHUNK);
    fs::write(&app, format!("old\n{long}{long}")).unwrap();
    let mut run = Run::start(&["--follow", "--from", "end"], &[&app]);
    append(&app, "\n");
    assert_eq!(run.read_later(), [format!("app: {long}{long}")]);
}

#[test]
fn rotation_by_rename_reads_the_old_file_to_its_end_before_the_new_one() {
    let (folder, app) = folder();
    let old = folder.path().join("app.log.1");
    append(&app, "one\n");
    let mut run = Run::start(&["--follow"], &[&app]);
    assert_eq!(run.read_later(), ["app: one"]);
    append(&app, "two\n");
    fs::rename(&app, &old).unwrap();
    append(&app, "four\nfive\n");
    let mut out = Vec::new();
    while run.counters().rotations == 0 {
        assert_eq!(run.ship.next_batch(run.now, &mut out), State::More);
    }
    // The writer has not noticed yet, and writes more than is read at a time.
    let long = "x".repeat(2 * super::CHUNK);
    append(&old, &format!("three\n{long}\nlast without newli"));
    let expected = ["two", "three", &long, "four", "five"].map(|line| format!("app: {line}"));
    let mut events: Vec<String> = out.into_iter().map(told).collect();
    events.extend(run.read_later());
    assert!(events == expected, "the old file first");
    append(&old, "ne");
    append(&app, "six\n");
    assert_eq!(run.read_later(), ["app: six"], "a writer of the old file may not have noticed yet");
    run.now += super::followed::GRACE;
    assert_eq!(run.read_later(), ["app: last without newline"]);
    assert_eq!((run.counters().rotations, run.counters().truncations), (1, 0));
}

/// Given a broker that is away, so that nothing is read for a while, when the file is rotated twice in that time, then
/// the one in the middle is shipped, too.
#[test]
fn a_file_that_comes_and_goes_unread_is_shipped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("app.log");
    fs::write(&path, "one\n").unwrap();
    let mut run = Run::start(&["--follow"], &[&path]);
    assert_eq!(run.read_later(), ["app: one"]);
    for (aside, text) in [("app.log.2", "two\n"), ("app.log.1", "three\n")] {
        fs::rename(&path, folder.path().join(aside)).unwrap();
        fs::write(&path, text).unwrap();
        run.ship.look();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut events = Vec::new();
    while events.len() < 2 && Instant::now() < deadline {
        events.extend(run.read_later());
    }
    assert_eq!(events, ["app: two", "app: three"]);
    assert_eq!(run.counters().rotations, 2);
}

#[test]
fn a_rotation_in_the_middle_of_a_rotation_loses_nothing() {
    let (folder, app) = folder();
    append(&app, "one\n");
    let mut run = Run::start(&["--follow"], &[&app]);
    let (mut events, _) = run.read();
    for (generation, line) in ["two\n", "three\n", "four\n"].into_iter().enumerate() {
        fs::rename(&app, folder.path().join(format!("app.log.{generation}"))).unwrap();
        append(&app, line);
        events.extend(run.read().0);
    }
    let mut out = Vec::new();
    run.ship.finish(run.now, &mut out);
    events.extend(out.into_iter().map(told));
    assert_eq!(events, ["app: one", "app: two", "app: three", "app: four"]);
    assert_eq!(run.counters().events, 4);
}

#[test]
fn copy_and_truncate_reads_the_file_from_its_first_byte() {
    let (folder, app) = folder();
    append(&app, "one\ntwo\nthree\nunfinished");
    let mut run = Run::start(&["--follow"], &[&app]);
    assert_eq!(run.read_later(), ["app: one", "app: two", "app: three"]);
    fs::copy(&app, folder.path().join("app.log.1")).unwrap();
    File::options().write(true).open(&app).unwrap().set_len(0).unwrap();
    append(&app, "four\n");
    assert_eq!(run.read_later(), ["app: unfinished", "app: four"]);
    assert_eq!((run.counters().rotations, run.counters().truncations), (0, 1));
}

#[test]
fn deletion_and_creation_anew() {
    let (_folder, app) = folder();
    append(&app, "one\n");
    let mut run = Run::start(&["--follow"], &[&app]);
    assert_eq!(run.read_later(), ["app: one"]);
    let mut held = OpenOptions::new().append(true).open(&app).unwrap();
    fs::remove_file(&app).unwrap();
    held.write_all(b"two, by a writer that holds it\n").unwrap();
    assert_eq!(run.read_later(), ["app: two, by a writer that holds it"]);
    append(&app, "three\n");
    assert_eq!(run.read_later(), ["app: three"]);
    assert_eq!(run.counters().rotations, 1);
}

#[test]
fn a_missing_file_is_waited_for_only_when_it_is_followed() {
    let (_folder, app) = folder();
    let refusal = format!("{:#}", open(&[], &[&app]).unwrap_err());
    assert!(refusal.contains("cannot open") && refusal.contains("app.log"), "{refusal}");
    let mut run = Run::start(&["--follow", "--from", "end"], &[&app]);
    assert_eq!(run.read(), (vec![], State::Idle));
    append(&app, "one\n");
    assert_eq!(run.read_later(), ["app: one"], "what comes later is read from its start");
}

#[test]
fn files_that_are_followed_take_turns() {
    let (folder, app) = folder();
    let other = folder.path().join("other.log");
    let lines: String = (0..20_000).map(|n| format!("1795331539 line {n}\n")).collect();
    append(&app, &lines);
    append(&other, "only\n");
    let mut run = Run::start(&["--follow"], &[&app, &other]);
    let mut out = Vec::new();
    let mut batches = 0;
    while run.counters().unrecognised == 0 {
        assert_eq!(run.ship.next_batch(run.now, &mut out), State::More);
        batches += 1;
    }
    assert_eq!(batches, 2, "the second file need not wait for the first one's end");
    out.clear();
    run.read_later();
    assert_eq!(run.counters().events, 20_001);
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let (folder, _) = folder();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || File::create(pipe).unwrap().write_all(b"one\ntwo\nunfinished").unwrap()
    });
    let mut run = Run::start(&[], &[&pipe]);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut events = Vec::new();
    loop {
        let (more, state) = run.read();
        events.extend(more);
        if state == State::End {
            break;
        }
        assert!(Instant::now() < deadline);
        run.ship.wait(Duration::from_secs(1));
    }
    writer.join().unwrap();
    assert_eq!(events, ["pipe: one", "pipe: two", "pipe: unfinished"]);
}

#[test]
fn what_cannot_be_shipped_is_refused_with_what_to_do() {
    let (folder, app) = folder();
    fs::write(&app, b"\x1f\x8b\x08\0\0\0").unwrap();
    let stdin = Path::new("-");
    for (flags, files, words) in [
        (&[][..], &[app.as_path()][..], "zcat"),
        (&["--follow"], &[&app], "zcat"),
        (&[], &[folder.path()], "directory"),
        (&[], &[stdin, stdin], "once"),
        (&["--from", "end"], &[stdin], "--follow"),
        (&["--max-event-bytes", "1KiB"], &[stdin], "16KiB"),
        (&["--service", ""], &[stdin], "--service"),
    ] {
        let refusal = format!("{:#}", open(flags, files).unwrap_err());
        assert!(refusal.contains(words) && !refusal.contains('\n'), "{refusal}");
    }
}

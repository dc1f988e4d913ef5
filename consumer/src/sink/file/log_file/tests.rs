use super::*;
use std::fs::File;

fn open(path: &Path) -> LogFile {
    LogFile::open(path, Links::Refuse, "logs", "test", Rotation::default()).unwrap()
}

/// Appends a line and checkpoints it as offset `next - 1` of partition 0.
fn durable_line(file: &mut LogFile, line: &str, next: i64) {
    file.append(line.as_bytes()).unwrap();
    file.sync().unwrap();
    file.advance(0, next, &Counts::default(), &ServiceNames::default());
    file.write_checkpoint().unwrap();
}

fn look_now(file: &mut LogFile) {
    file.looked = Instant::now() - LOOK_INTERVAL;
    file.look_after().unwrap();
}

#[test]
fn what_follows_the_checkpoint_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    file.append(b"two\nthr").unwrap();
    drop(file);
    let file = open(&path);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    assert_eq!(file.position(0).unwrap().next, 1);
}

#[test]
fn a_deleted_file_starts_anew_where_reading_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    drop(file);
    std::fs::remove_file(&path).unwrap();
    let mut file = open(&path);
    assert_eq!(file.position(0).unwrap().next, 1);
    durable_line(&mut file, "two\n", 2);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
}

#[test]
fn a_truncated_or_edited_file_goes_on_behind_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let mut file = open(&path);
    durable_line(&mut file, "one\ntwo\n", 2);
    drop(file);
    std::fs::write(&path, "on").unwrap();
    let mut file = open(&path);
    durable_line(&mut file, "three\n", 3);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "on\nthree\n");
    drop(file);
    std::fs::write(&path, "edited by hand, longer than before\nthree\nfour\n").unwrap();
    let mut file = open(&path);
    durable_line(&mut file, "five\n", 4);
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("three\nfour\nfive\n"));
}

#[test]
fn without_a_checkpoint_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    std::fs::write(&path, "somebody's line").unwrap();
    let mut file = open(&path);
    assert_eq!(file.position(0), None);
    durable_line(&mut file, "ours\n", 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's line\nours\n");
}

#[test]
fn moved_and_truncated_under_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    std::fs::rename(&path, folder.path().join("logs.1")).unwrap();
    look_now(&mut file);
    durable_line(&mut file, "two\n", 2);
    assert_eq!(std::fs::read_to_string(folder.path().join("logs.1")).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    durable_line(&mut file, "three\n", 3);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
}

/// What was checkpointed is gone, and was written already: a crash must not bring what followed it back twice.
#[test]
fn truncated_under_the_writer_then_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    file.append(b"two\n").unwrap();
    drop(file);
    let file = open(&path);
    assert_eq!(file.position(0).unwrap().next, 1, "two comes again from Kafka");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "and is cut off here");
}

#[test]
fn rotation_keeps_every_line_and_the_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let rotation = Rotation { size: Some(8), every: None };
    let mut file = LogFile::open(&path, Links::Refuse, "logs", "test", rotation).unwrap();
    for n in 0..10 {
        durable_line(&mut file, &format!("line {n}\n"), n + 1);
        file.rotate_if_due().unwrap();
    }
    drop(file);
    assert_eq!(open(&path).position(0).unwrap().next, 10);
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "txt") {
            lines.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    lines.sort();
    assert_eq!(lines, (0..10).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

/// A lock file that is removed under its holder lets nobody else in.
#[test]
fn companions_removed_under_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let try_open = || LogFile::open(&path, Links::Refuse, "logs", "other", Rotation::default());
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    std::fs::remove_file(folder.path().join("logs.txt.lock")).unwrap();
    let error = try_open().unwrap_err();
    assert!(matches!(error, FileError::Lock(LockError::Held(_))), "{error}");
    std::fs::remove_file(folder.path().join("logs.txt.checkpoint")).unwrap();
    look_now(&mut file);
    drop(file);
    assert_eq!(open(&path).position(0).unwrap().next, 1);
}

/// Somebody who was let in since all was removed has it now.
#[test]
fn taken_over_under_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    for name in ["logs.txt", "logs.txt.lock", "logs.txt.checkpoint"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let mut other = open(&path);
    durable_line(&mut other, "two\n", 2);
    file.looked = Instant::now() - LOOK_INTERVAL;
    let error = file.look_after().unwrap_err();
    assert!(error.to_string().contains("another consumer took it over"), "{error}");
    drop((file, other));
    assert_eq!(open(&path).position(0).unwrap().next, 2, "the checkpoint is the other one's");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
}

/// Two consumers that are led to one file by two paths would cut off each other's lines.
#[test]
fn one_file_by_two_paths_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let (link, same) = (folder.path().join("link.txt"), folder.path().join("same.txt"));
    std::fs::write(&path, "").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::fs::hard_link(&path, &same).unwrap();
    let file = open(&path);
    let try_open = |path| LogFile::open(path, Links::Follow, "logs", "other", Rotation::default());
    for other in [&link, &same] {
        assert!(matches!(try_open(other).unwrap_err(), FileError::Lock(LockError::Held(_))));
    }
    drop(file);
    assert!(try_open(&link).is_ok());
}

#[test]
fn another_topic_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    drop(open(&path));
    let error = LogFile::open(&path, Links::Refuse, "other", "test", Rotation::default()).unwrap_err();
    assert!(error.to_string().contains("topic 'logs', not 'other'"), "{error}");
}

#[test]
fn a_link_is_followed_only_where_the_user_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("logs-0.txt"), folder.path().join("elsewhere"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let open = |links| LogFile::open(&link, links, "logs", "test", Rotation::default());
    let error = open(Links::Refuse).unwrap_err();
    assert!(error.to_string().contains("it is a symbolic link"), "{error}");
    assert!(!target.exists());
    drop(open(Links::Follow).unwrap());
    assert!(target.exists());
}

/// Given a crash with a line that no checkpoint covers, and a file that is moved away before the next start, then that
/// line, which comes again, is in the new file only.
#[test]
fn moved_between_crash_and_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let (moved, copy) = (folder.path().join("moved.txt"), folder.path().join("copy.txt"));
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    file.append(b"two\n").unwrap();
    drop(file);
    std::fs::rename(&path, &moved).unwrap();
    std::fs::copy(&moved, &copy).unwrap();
    let mut file = open(&path);
    assert_eq!(file.position(0).unwrap().next, 1);
    durable_line(&mut file, "two\n", 2);
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!((text(&moved), text(&path)), ("one\n".to_owned(), "two\n".to_owned()));
    assert_eq!(text(&copy), "one\ntwo\n", "no file of ours");
    assert_eq!(text(&folder.path().join("moved.txt.cut")), "two\n", "nothing is destroyed");

    // The new one is known by its own number from then on.
    file.append(b"three\n").unwrap();
    drop(file);
    let again = folder.path().join("again.txt");
    std::fs::rename(&path, &again).unwrap();
    drop(open(&path));
    assert_eq!((text(&moved), text(&again)), ("one\n".to_owned(), "two\n".to_owned()));
}

/// Nothing is cut off a file that only has the number, or that somebody writes.
#[test]
fn what_is_not_known_for_sure_is_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let moved = folder.path().join("moved.txt");
    for foreign in [true, false] {
        let mut file = open(&path);
        durable_line(&mut file, "one\n", 1);
        file.append(b"two\n").unwrap();
        drop(file);
        std::fs::rename(&path, &moved).unwrap();
        let held = File::options().write(true).open(&moved).unwrap();
        if foreign {
            held.set_len(0).unwrap();
            std::fs::write(&moved, "something else\n").unwrap();
        } else {
            held.lock().unwrap();
        }
        drop(open(&path));
        let kept = std::fs::read_to_string(&moved).unwrap();
        assert_eq!(kept, if foreign { "something else\n" } else { "one\ntwo\n" });
        std::fs::remove_file(&path).unwrap();
    }
}

/// Whatever stands behind what an orderly end, or another consumer, left in a file that was moved is not ours to cut.
#[test]
fn what_others_wrote_into_a_moved_file_is_not_cut() {
    for adopted in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("logs.txt"), folder.path().join("moved.txt"));
        let mut file = open(&path);
        durable_line(&mut file, "one\n", 1);
        if !adopted {
            file.end().unwrap();
        }
        drop(file);
        std::fs::rename(&path, &moved).unwrap();
        if adopted {
            let mut other = open(&moved);
            durable_line(&mut other, "theirs\n", 7);
        } else {
            std::fs::write(&moved, "one\ntheirs\n").unwrap();
        }
        let file = open(&path);
        assert_eq!(file.position(0).unwrap().next, 1);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntheirs\n", "adopted: {adopted}");
    }
}

/// Any file begins with nothing: a checkpoint of an empty file cuts that one, and no other that is put in its place.
#[test]
fn an_empty_file_vouches_for_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.txt");
    let rotation = Rotation { size: Some(1), every: None };
    let mut file = LogFile::open(&path, Links::Refuse, "logs", "test", rotation).unwrap();
    durable_line(&mut file, "one\n", 1);
    let aside = file.name_aside();
    std::fs::rename(&path, &aside).unwrap();
    look_now(&mut file);
    file.append(b"two\n").unwrap();
    drop(file);
    drop(open(&path));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "two comes again");
    std::fs::rename(&aside, &path).unwrap();
    drop(open(&path));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n", "the rotation is undone by hand");
}

/// A new file is known by either half of the checkpoint, so that one of them may be damaged by what kills the consumer.
#[test]
fn a_new_file_is_known_by_either_slot() {
    for slot in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs.txt");
        let mut file = open(&path);
        durable_line(&mut file, "one\n", 1);
        let moved = folder.path().join("moved.txt");
        std::fs::rename(&path, &moved).unwrap();
        look_now(&mut file);
        file.append(b"two\n").unwrap();
        drop(file);
        let checkpoint = CheckpointFile::path_of(&path);
        let mut bytes = std::fs::read(&checkpoint).unwrap();
        let at = slot * bytes.len() / 2 + 20;
        bytes[at] ^= 1;
        std::fs::write(&checkpoint, bytes).unwrap();
        drop(open(&path));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "two comes again, slot {slot}");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
    }
}

/// What can't be cut off a moved file must not be written a second time: the consumer ends, and the next one tries again.
#[test]
fn without_room_for_what_is_cut_nothing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("logs.txt"), folder.path().join("moved.txt"));
    let mut file = open(&path);
    durable_line(&mut file, "one\n", 1);
    file.append(b"two\n").unwrap();
    drop(file);
    std::fs::rename(&path, &moved).unwrap();
    // As a full disk does.
    let in_the_way = folder.path().join("moved.txt.cut");
    std::fs::create_dir(&in_the_way).unwrap();
    let refused = LogFile::open(&path, Links::Refuse, "logs", "test", Rotation::default());
    assert!(refused.is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    drop(open(&path));
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(&in_the_way).unwrap(), "two\n");
}

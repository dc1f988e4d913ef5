//! rsyslog, the system logger of most Linux machines, with its modules for Kafka and Redis.
//!
//! It runs from Debian's packages unpacked in `target/peers/`, with settings, folders and a pid file of its
//! own: the machine's logger, if it has one, is not touched.

use anyhow::{Context, Result};
use harness::Program;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::arena::{Arena, TOPIC, fetched, output_of};
use super::consumers::{BOTH, List, watch_sinks};
use super::{Peer, Ran};

/// `rsyslogd` from Kafka to a file and Redis.
pub(super) const PEER: Peer = Peer {
    name: "rsyslog",
    job: BOTH,
    guarantee: "none through a crash: librdkafka commits what was handed over every 5 s, written or not, and \
                the queues are in memory; not synced to disk; imkafka → omfile and omhiredis (LPUSH, \
                pipelined), one queue of 200,000, batches of 4,096; omhiredis can't cap its list",
    run,
};

fn run(arena: &Arena) -> Result<Ran> {
    let unpacked = fetched("rsyslog")?;
    let libraries = libraries(&unpacked)?;
    let field = arena.clean("rsyslog")?;
    let (folder, file) = (field.folder.display().to_string(), field.file());
    let settings = field.settings(
        "rsyslog.conf",
        &[
            ("BROKERS", &arena.stack.bootstrap()),
            ("FILE", &file.display().to_string()),
            ("FOLDER", &folder),
            ("REDIS_PORT", &arena.redis_port()),
            ("TOPIC", TOPIC),
        ],
    )?;
    let daemon = unpacked.join("usr/sbin/rsyslogd");
    let modules = libraries.join("rsyslog");
    let environment = [("LD_LIBRARY_PATH", path_text(&libraries)?)];
    let pid = field.folder.join("rsyslogd.pid");
    // -n: in the foreground; -i: its pid file; -M: its modules; -C: stay in the folder.
    let arguments: [&OsStr; 9] = [
        "-n".as_ref(),
        "-C".as_ref(),
        "-f".as_ref(),
        settings.as_ref(),
        "-i".as_ref(),
        pid.as_ref(),
        "-M".as_ref(),
        modules.as_ref(),
        "-x".as_ref(),
    ];
    let mut rsyslog = Program::run(&daemon, arguments, &environment, &field.folder)?;
    let window = watch_sinks(arena, &mut rsyslog, &file, List::Whole)?;
    let version = output_of(&daemon, ["-v"], &environment, &field.folder)?;
    Ok(Ran { version: version_in(&version).context("rsyslogd has no version")?.to_owned(), window })
}

/// `usr/lib/x86_64-linux-gnu` or what this machine calls it.
fn libraries(unpacked: &Path) -> Result<PathBuf> {
    let folder = unpacked.join("usr/lib");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| path.join("rsyslog/imkafka.so").exists()).context("imkafka.so was not unpacked")
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no text", path.display()))
}

/// `rsyslogd  8.2302.0 (aka 2023.02) compiled with:` is `8.2302.0`.
fn version_in(text: &str) -> Option<&str> {
    text.split_whitespace().nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_second_word() {
        assert_eq!(version_in("rsyslogd  8.2302.0 (aka 2023.02) compiled with:\n"), Some("8.2302.0"));
        assert_eq!(version_in(""), None);
    }
}

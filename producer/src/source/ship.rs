//! Real log files, shipped: each line of any text log becomes an event.
//!
//! ```text
//! files, stdin ──bytes──▶ lines ──▶ recognise ──▶ join ──▶ ShippedLine ──encode──▶ bytes for Kafka
//!     tail                            assemble                           event
//! ```
//! Only `tail` reads and only this file and `tail` know files; the rest is a pure function of bytes and time.
//! Nothing is remembered from run to run: a run reads its files from the start, or from the end on.

mod assemble;
mod event;
mod join;
mod lines;
mod recognise;
mod tail;

pub(crate) use event::ShippedLine;

use anyhow::{Context, bail, ensure};
use assemble::{Assembler, Settings};
use chrono::{DateTime, Utc};
use common::units::parse_size;
use event::Bounds;
use recognise::Zone;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tail::{Progress, Sink, Tail};

/// Least `--max-event-bytes`: every field but the message fits into it.
const EVENT_BYTES_MIN: u64 = 16 << 10;

/// Longest name of a service, host or producer.
const NAME_MAX: usize = 255;

/// Flags of `producer ship`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ShipArgs {
    /// Log files to ship, first to last; `-` is standard input
    ///
    /// Lines may be JSON (kept as they are if they have a message), syslog, log4j/Logback, Python, nginx, Apache, Kafka, dpkg, glog,
    /// logfmt and others like them: time and level are recognised, stack traces joined to their event. What is
    /// not recognised ships as INFO with the time of reading.
    #[arg(required = true, value_name = "FILE|-")]
    pub(crate) files: Vec<PathBuf>,

    /// Keep reading what is appended, through rotation; a file that is missing is waited for
    #[arg(long, env = "SHIP_FOLLOW")]
    pub(crate) follow: bool,

    /// Where to begin in files that are there already; `end` needs --follow
    #[arg(long, env = "SHIP_FROM", value_name = "WHERE", default_value = "start")]
    pub(crate) from: Begin,

    /// Service of all events [default: the program a line names, else the file's name up to its first dot]
    ///
    /// A JSON line keeps the service it names.
    #[arg(long, env = "SHIP_SERVICE", value_name = "NAME")]
    pub(crate) service: Option<String>,

    /// Host of all events [default: the host a line names, else this machine's name]
    ///
    /// A JSON line keeps the host it names.
    #[arg(long, env = "SHIP_HOST", value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// Read times that name no zone as UTC instead of this machine's local time
    #[arg(long, env = "SHIP_UTC")]
    pub(crate) utc: bool,

    /// Largest event; a longer text is cut, and `truncated_bytes` says by how much
    #[arg(long, env = "SHIP_MAX_EVENT_BYTES", value_name = "SIZE", default_value = "960KiB", value_parser = parse_size)]
    pub(crate) max_event_bytes: u64,
}

/// Where a file that is there already is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Begin {
    /// Its first line.
    Start,
    /// The first line that is finished from now on.
    End,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Lines read, all of them.
    pub(crate) lines: u64,
    /// Lines that hold nothing but blanks: they are no events.
    pub(crate) blank: u64,
    /// Lines joined to the event before them.
    pub(crate) joined: u64,
    /// Events made: `lines - blank - joined`, those still waiting for a further line apart.
    pub(crate) events: u64,
    /// Events that are JSON lines, kept as they were.
    pub(crate) json: u64,
    /// Events without a recognised time or level: shipped as INFO, with the time of reading.
    pub(crate) unrecognised: u64,
    /// Lines with bytes that are not UTF-8, replaced by U+FFFD.
    pub(crate) invalid_utf8: u64,
    /// Events cut to the limit.
    pub(crate) truncated: u64,
    /// Bytes let go in them.
    pub(crate) truncated_bytes: u64,
    /// Followed files that were renamed or deleted and created anew.
    pub(crate) rotations: u64,
    /// Followed files that became shorter.
    pub(crate) truncations: u64,
    /// Files given up because reading failed; each was said. A run with any is not a success.
    pub(crate) read_errors: u64,
}

/// How it stands after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There may be more at once.
    More,
    /// Nothing new for now: [`Ship::wait`].
    Idle,
    /// All inputs have ended.
    End,
}

/// The lines of all inputs, as events.
#[derive(Debug)]
pub(crate) struct Ship {
    tail: Tail,
    assembler: Assembler,
}

impl Ship {
    /// Opens the inputs. `producer`: the name of this run, which must have its place in every event.
    ///
    /// # Errors
    /// A flag that makes no sense; a file that cannot be read, or is compressed; with `--follow` a missing file
    /// is none.
    pub(crate) fn open(args: &ShipArgs, producer: &str) -> anyhow::Result<Ship> {
        ensure!(
            args.follow || args.from == Begin::Start,
            "--from end ships nothing without --follow: add --follow, or leave --from away"
        );
        ensure!(
            args.max_event_bytes >= EVENT_BYTES_MIN,
            "--max-event-bytes must be at least 16KiB, not {}",
            args.max_event_bytes
        );
        for (flag, name) in [("--service", &args.service), ("--host", &args.host)] {
            let fits = name.as_ref().is_none_or(|name| (1..=NAME_MAX).contains(&name.len()));
            ensure!(fits, "{flag} must be of 1 to {NAME_MAX} bytes");
        }
        ensure!(
            args.files.iter().filter(|path| is_stdin(path)).count() <= 1,
            "standard input (-) can be read only once: name it once"
        );
        let settings = Settings {
            service: args.service.clone(),
            host: args.host.clone(),
            this_host: if args.host.is_some() { String::new() } else { this_host()? },
            zone: if args.utc { Zone::utc() } else { Zone::Local },
            bounds: Bounds {
                event_bytes: usize::try_from(args.max_event_bytes)
                    .context("--max-event-bytes is too large")?,
                producer_bytes: producer.len(),
            },
        };
        let mut ship = Ship { tail: Tail::new(args.follow), assembler: Assembler::new(settings) };
        for path in &args.files {
            ship.add(path, args)?;
        }
        Ok(ship)
    }

    /// Reads on and appends the events that are complete to `out`: one chunk of one input at most, so a batch
    /// stays small. Does not block. `now` is the time of reading.
    pub(crate) fn next_batch(&mut self, now: DateTime<Utc>, out: &mut Vec<ShippedLine>) -> State {
        match self.tail.poll(&mut Sink { assembler: &mut self.assembler, now, out }) {
            Progress::Read => State::More,
            Progress::Waiting => State::Idle,
            Progress::Ended => State::End,
        }
    }

    /// Waits for something to read, at most `at_most` and at most 100 ms.
    pub(crate) fn wait(&mut self, at_most: Duration) {
        self.tail.wait(at_most);
    }

    /// To be called while nothing can be read: followed files may be rotated meanwhile.
    pub(crate) fn look(&mut self) {
        self.tail.look();
    }

    /// Ends the run early: what is unfinished becomes an event as it is.
    pub(crate) fn finish(&mut self, now: DateTime<Utc>, out: &mut Vec<ShippedLine>) {
        self.tail.finish(&mut Sink { assembler: &mut self.assembler, now, out });
    }

    /// What was done so far.
    pub(crate) fn counters(&self) -> Counters {
        self.assembler.counters
    }

    fn add(&mut self, path: &Path, args: &ShipArgs) -> anyhow::Result<()> {
        if is_stdin(path) {
            let stream = self.assembler.stream(None);
            return self.tail.add_piped(path, std::io::stdin(), stream).context("cannot read standard input");
        }
        let name = path.display();
        let stream = self.assembler.stream(stem(path));
        let metadata = match std::fs::metadata(path) {
            Err(error) if args.follow && error.kind() == std::io::ErrorKind::NotFound => None,
            found => Some(
                found.with_context(|| format!("cannot open {name}: check the path and its permissions"))?,
            ),
        };
        if metadata.as_ref().is_some_and(|metadata| metadata.is_dir()) {
            bail!("{name} is a directory: name the files in it");
        }
        let regular = metadata.is_none_or(|metadata| metadata.is_file());
        let cannot_read = || format!("cannot read {name}: check its permissions");
        if !regular {
            let file = File::open(path).with_context(cannot_read)?;
            return self.tail.add_piped(path, file, stream).with_context(cannot_read);
        }
        match File::open(path) {
            Ok(file) => refuse_compressed(path, &file)?,
            Err(error) if args.follow && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(cannot_read),
        }
        if args.follow {
            self.tail.add_followed(path, stream, args.from).with_context(cannot_read)?;
        } else {
            let file = File::open(path).with_context(cannot_read)?;
            self.tail.add_whole(path, file, stream);
        }
        Ok(())
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// `app` for `/var/log/app.log.1`; the whole name where it begins with its only dot.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&name);
    Some(stem.to_owned())
}

/// # Errors
/// When it is: names the command that helps.
fn refuse_compressed(path: &Path, file: &File) -> anyhow::Result<()> {
    const KINDS: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "zcat"),
        (b"\x28\xb5\x2f\xfd", "zstdcat"),
        (b"\xfd7zXZ\0", "xzcat"),
        (b"BZh", "bzcat"),
    ];
    let mut start = [0; 6];
    let length = file.read_at(&mut start, 0).with_context(|| format!("cannot read {}", path.display()))?;
    match KINDS.iter().find(|(magic, _)| start[..length].starts_with(magic)) {
        Some((_, tool)) => {
            let name = path.display();
            bail!("{name} is compressed: ship it with `{tool} {name} | producer ship -`")
        }
        None => Ok(()),
    }
}

fn this_host() -> anyhow::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().chars().take(NAME_MAX).collect::<String>())
        .filter(|name| !name.is_empty())
        .context("this machine does not say its name: give one with --host NAME")
}

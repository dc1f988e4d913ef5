//! Who drains the backlog, and how it is seen from outside what they have done.

use anyhow::{Context, Result, ensure};
use harness::Program;
use redis::Connection;
use std::path::Path;

use super::arena::Arena;
use super::lines::Lines;
use super::look::{Done, Window, watch};
use super::{Peer, connect, java, python, rsyslog, sluice};

/// In both places.
pub(super) const BOTH: &str = "file + Redis";

/// The consumers, Sluice first.
pub(super) const PEERS: [Peer; 6] =
    [sluice::CONSUMER, rsyslog::PEER, python::TUNED, python::TUTORIAL, connect::PEER, java::FETCH];

/// The list in Redis that the peers fill.
pub(super) const LIST: &str = "logs:recent";

/// How a peer fills its list in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// It keeps every event, so its length says how many are there.
    Whole,
    /// Cut back to this many. Each event is there before it is in the file: the file says how many.
    Capped(u64),
    /// There is none.
    None,
}

/// Watches a program that writes `file` and fills the list, until the backlog is drained or time is up; if it
/// was drained, every event must be in the file once.
pub(super) fn watch_sinks(arena: &Arena, program: &mut Program, file: &Path, list: List) -> Result<Window> {
    let mut redis = arena.stack.redis()?;
    let mut lines = Lines::of(file);
    let window = watch(program, arena.events, |_| {
        let lines = lines.count()?;
        if list != List::Whole {
            return Ok(Done::of(lines));
        }
        let length = length(&mut redis)?;
        Ok(Done { begun: lines.max(length), done: lines.min(length) })
    })?;
    let expected = match list {
        List::None => 0,
        List::Whole => window.done,
        List::Capped(cap) => window.done.min(cap),
    };
    let length = length(&mut redis)?;
    ensure!(length >= expected, "only {length} of {expected} events are in Redis");
    if window.done >= arena.events {
        arena.verify(file)?;
    }
    Ok(window)
}

fn length(redis: &mut Connection) -> Result<u64> {
    redis::cmd("LLEN").arg(LIST).query(redis).context("cannot ask Redis")
}

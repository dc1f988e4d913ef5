//! Sluice itself, as shipped, on the same track.

use anyhow::{Context, Result, ensure};
use harness::ports::free_port;
use harness::{Program, Signal};
use std::net::SocketAddr;
use std::path::Path;

use super::arena::{Arena, PATIENCE, last_words};
use super::consumers::BOTH;
use super::look::{Done, watch};
use super::producers::{PRODUCE, watch_topic};
use super::{Peer, Ran};
use crate::sinks::{InSinks, in_sinks};

/// `consumer`
pub(super) const CONSUMER: Peer = Peer {
    name: "Sluice",
    job: BOTH,
    guarantee: "exactly once in both; defaults: decoded and counted by level and service, an event is done \
                once it is synced to disk and its transaction in Redis is over; lists capped at 100,000; \
                verified here",
    run: consume,
};

/// `producer`
pub(super) const PRODUCER: Peer = Peer {
    name: "Sluice",
    job: PRODUCE,
    guarantee: "nothing lost, doubled or reordered: acks=all, idempotent, every acknowledgement counted; \
                defaults: lz4, linger 1 ms, batches of up to 1 MB; makes its events itself",
    run: produce,
};

fn consume(arena: &Arena) -> Result<Ran> {
    let field = arena.clean("sluice")?;
    let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let (brokers, redis) = (arena.stack.bootstrap(), arena.stack.redis_url());
    let address = metrics.to_string();
    let arguments = ["--brokers", &brokers, "--redis-url", &redis, "--metrics-addr", &address];
    let mut consumer = Program::start("consumer", arguments, &[], &field.folder)?;
    let window = watch(&mut consumer, arena.events, |_| Ok(done(metrics)))?;

    consumer.signal(Signal::TERM)?;
    ensure!(consumer.wait(PATIENCE)?.success(), "{}", last_words(&consumer));
    if window.done >= arena.events {
        arena.verify(&field.file())?;
    }
    Ok(Ran { version: version("consumer", &field.folder)?, window })
}

fn done(metrics: SocketAddr) -> Done {
    let InSinks { file, redis, .. } = in_sinks(metrics);
    Done { begun: file.max(redis), done: file.min(redis) }
}

fn produce(arena: &Arena) -> Result<Ran> {
    let field = arena.clean("sluice")?;
    let topic = "from-sluice";
    let (brokers, count) = (arena.stack.bootstrap(), arena.events.to_string());
    let arguments = ["--brokers", &brokers, "--topic", topic, "--rate", "max", "--count", &count];
    let window = watch_topic(arena, topic, || Program::start("producer", arguments, &[], &field.folder))?;
    Ok(Ran { version: version("producer", &field.folder)?, window })
}

/// `producer 0.1.0` is `0.1.0`.
fn version(program: &str, folder: &Path) -> Result<String> {
    let mut asked = Program::start(program, ["--version"], &[], folder)?;
    ensure!(asked.wait(PATIENCE)?.success(), "{}", last_words(&asked));
    let text = asked.stdout();
    Ok(text.split_whitespace().last().context("it has no version")?.to_owned())
}

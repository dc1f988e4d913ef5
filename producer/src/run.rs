//! One run: source → publisher, until the source ends or somebody asks to stop; then the report.

use crate::batch::Batch;
use crate::config::Config;
use crate::pace::TICK;
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;
use crate::source::{Source, State};
use anyhow::bail;
use common::shutdown::Shutdown;
use std::io::Write;
use std::time::Duration;
use tracing::info;

/// How long to wait for lines of a file or for acknowledgements of those already sent.
const IDLE: Duration = Duration::from_millis(20);

/// Runs to the end.
///
/// # Errors
/// [`Impossible`](crate::config::Impossible) for what turns out to be so; else when something was not
/// acknowledged, or the run could not go on. The report is printed and written all the same.
pub(crate) fn run(config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut source = Source::open(&config.work, &config.producer, config.keyed)?;
    let progress = Progress::new(source.total());
    let Some(mut publisher) = Publisher::connect(config, shutdown, progress)? else {
        bail!("ended before a broker answered: nothing was sent");
    };
    let (topic, partitions) = publisher.topic();
    info!(producer = config.producer, topic, partitions, "sending");
    send_all(&mut source, &mut publisher, shutdown);
    publisher.drain();

    let report = report::report(&config.producer, &publisher);
    let text = report::text(&report, publisher.accounts(), source.counters());
    // A closed standard output is no reason not to write the file.
    let printed = std::io::stdout().write_all(text.as_bytes());
    if let Some(path) = &config.report {
        report::write(&report, path)?;
    }
    printed?;
    if let Some(reason) = publisher.fatal() {
        bail!("the Kafka client can't go on: {reason}");
    }
    if report.acknowledged != report.sent {
        bail!("{} of {} events were not acknowledged", report.sent - report.acknowledged, report.sent);
    }
    if source.counters().is_some() && publisher.unsent() > 0 {
        bail!(
            "{} events were read and not sent: the end was asked for before there was room",
            publisher.unsent()
        );
    }
    match source.counters() {
        Some(counters) if counters.read_errors > 0 => {
            bail!("{} files could not be read to their end", counters.read_errors)
        }
        Some(_) | None => Ok(()),
    }
}

fn send_all(source: &mut Source, publisher: &mut Publisher, shutdown: &Shutdown) {
    let clock = publisher.clock();
    let mut batch = Batch::default();
    source.start(clock);
    while publisher.fatal().is_none() {
        if shutdown.requested() {
            source.finish(clock.now(), &mut batch);
            publisher.send(&batch, || {});
            return;
        }
        let state = source.next_batch(clock.now(), &mut batch);
        publisher.send(&batch, || source.look());
        publisher.set_behind(source.behind(clock.now()));
        match state {
            State::More => publisher.poll(Duration::ZERO),
            State::Idle if publisher.accounts().in_flight() == 0 && source.wait(IDLE) => {
                publisher.poll(Duration::ZERO)
            }
            State::Idle => publisher.poll(TICK),
            State::End => return,
        }
    }
}

//! A long run at a steady rate: does anything grow that should not?
//!
//! No disk holds what is written in half an hour: the broker keeps a few gigabytes of the topic, the consumer rotates its
//! file, and what was rotated away is [verified and deleted](feed).

mod feed;

use super::scene::{CONSUMER, Consumer, PATIENCE, STUCK_AFTER, Scene, now, process, seconds_of};
use super::{Bench, Plan};
use crate::latency;
use crate::progress::Progress;
use crate::results::{LatencyAt, Soak, Standing};
use crate::sinks::{InSinks, in_sinks};
use anyhow::{Context, Result, ensure};
use common::event::format_timestamp;
use common::report::ProducerReport;
use common::shutdown::Shutdown;
use common::units::format_count;
use feed::Verdict;
use figures::numbers::duration;
use harness::usage::held;
use harness::{Program, Signal};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Samples of a whole run.
const SAMPLES: u32 = 180;

/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// The broker keeps so much of each partition: some minutes of it, when the consumer is milliseconds behind.
const KEPT_BYTES: u64 = 1 << 30;

/// Makes the run. Ctrl-C ends it in order, with what there is.
///
/// # Errors
/// As [`Bench::run`].
pub fn run(bench: &mut Bench, rate: u64, lasting: Duration) -> Result<Soak> {
    let (started, clock) = (chrono::Utc::now(), Instant::now());
    let machine = figures::machine::describe(bench.stack.folder())?;
    let plan = Plan::steady(rate, &format!("--duration {}ms", lasting.as_millis()))
        .with_consumer_flags("--rotate-size 1GiB");
    let step = (lasting / SAMPLES).max(Duration::from_secs(1));
    let (verdict, samples, latency_over_time) =
        bench.on_topic(&plan, |scene, progress| scene.soak(lasting, step, progress))?;
    Ok(Soak {
        machine,
        command: format!("bench soak --rate {rate} --for {}s", lasting.as_secs()),
        started: format_timestamp(started),
        seconds: clock.elapsed().as_secs_f64(),
        rate,
        events: verdict.events,
        bytes: verdict.bytes,
        samples,
        latency_over_time,
    })
}

impl Scene<'_> {
    fn soak(
        &self,
        lasting: Duration,
        step: Duration,
        progress: &Progress,
    ) -> Result<(Verdict, Vec<Standing>, Vec<LatencyAt>)> {
        self.stack.limit_topic(self.topic, KEPT_BYTES)?;
        let mut consumers = Vec::new();
        self.start_consumers(&mut consumers)?;
        let consumer = consumers.first_mut().context("no consumer")?;
        let over = AtomicBool::new(false);
        let (verdict, watched) = thread::scope(|scope| {
            let audit = scope.spawn(|| feed::verify(self.folder, self.plan.partitions, &over));
            let watched = self.stand(consumer, lasting, step, progress, || audit.is_finished());
            over.store(true, Ordering::Release);
            (audit.join().expect("the audit does not panic"), watched)
        });
        // What the audit found says more than that it has ended, but not of a run that failed without it.
        let verdict = verdict.map_err(|found| match &watched {
            Err(failed) => found.context(format!("{failed:#}")),
            Ok(_) => found,
        })?;
        let (mut samples, report) = watched?;
        let (events, sent, counted) = (verdict.events, report.acknowledged, self.counted()?);
        ensure!(
            events == sent && events == counted,
            "{sent} events acknowledged, {events} in the files, {counted} in Redis"
        );
        let start = seconds_of(&report.started)?;
        for sample in &mut samples {
            sample.at -= start;
            sample.due = self.plan.due(sample.at).min(sent);
        }
        samples.retain(|sample| sample.at >= 0.0);
        let intervals = latency::read(&self.folder.join(&consumer.latency_log))?;
        Ok((verdict, samples, latency::over_time(&intervals, start, step.as_secs_f64())?))
    }

    /// Samples until all that a producer has sent is in both sinks, and ends the consumer.
    fn stand(
        &self,
        consumer: &mut Consumer,
        lasting: Duration,
        step: Duration,
        progress: &Progress,
        audit_is_over: impl Fn() -> bool,
    ) -> Result<(Vec<Standing>, ProducerReport)> {
        let shutdown = Shutdown::on_signals()?;
        let mut producer = self.producer()?;
        let (mut samples, mut report, mut ending) = (Vec::new(), None, false);
        let begun = Instant::now();
        let mut moved = (begun, 0);
        let report: ProducerReport = loop {
            let sinks = in_sinks(consumer.metrics);
            let in_both = sinks.file.min(sinks.redis);
            if begun.elapsed() >= step * u32::try_from(samples.len())? {
                samples.push(self.standing(sinks, &producer, &consumer.program));
                let left = lasting.saturating_sub(begun.elapsed()).as_secs();
                let (events, left) = (format_count(in_both as f64), duration(left as f64));
                progress.tell(&format!("{events} events, {left} to go"));
            }
            if shutdown.requested() && !ending {
                ending = true;
                producer.signal(Signal::TERM)?;
            }
            if report.is_none() && !producer.is_running()? {
                report = Some(self.report(&mut producer)?);
            }
            if let Some(report) = report.take_if(|report| in_both >= report.acknowledged) {
                break report;
            }
            if in_both > moved.1 {
                moved = (Instant::now(), in_both);
            }
            let stuck = moved.0.elapsed() >= STUCK_AFTER;
            ensure!(!stuck, "nothing moves any more:\n{}", consumer.program.stderr());
            ensure!(!audit_is_over(), "the audit has ended");
            thread::park_timeout(LOOK);
        };
        consumer.program.signal(Signal::TERM)?;
        let ended = consumer.program.wait(PATIENCE)?;
        ensure!(ended.success(), "the consumer failed:\n{}", consumer.program.stderr());
        Ok((samples, report))
    }

    fn standing(&self, sinks: InSinks, producer: &Program, consumer: &Program) -> Standing {
        let servers = self.stack.pids().into_iter().map(|(name, pid)| (process(&name), pid));
        let ours = [("producer".to_owned(), producer.pid()), (CONSUMER.to_owned(), consumer.pid())];
        let held: BTreeMap<_, _> =
            servers.chain(ours).filter_map(|(name, pid)| Some((name, held(pid)?))).collect();
        let InSinks { file, redis, unread, .. } = sinks;
        Standing { at: now(), due: 0, file, redis, unread, held }
    }
}

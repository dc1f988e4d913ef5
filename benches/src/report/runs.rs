//! What the runs made: throughput, CPU, memory.

use super::plot::{self, CpuRow};
use super::series::middle;
use crate::results::{Limit, LimitJob, Results, Run, RunName};
use common::units::{format_counted, format_grouped, format_size};
use figures::numbers::{figure, percent, rate, short, short_rate};
use figures::page::Page;
use figures::table::Table;

/// Writes the section, if there is a run of its kinds: end to end, from a backlog, steady.
///
/// # Errors
/// When a plot can't be drawn.
pub fn write(page: &mut Page, results: &Results) -> anyhow::Result<()> {
    let of_kind = |name| results.runs.iter().filter(move |run| run.name == name);
    let flat_out: Vec<&Run> = of_kind(RunName::EndToEnd).chain(of_kind(RunName::Backlog)).collect();
    let steady: Vec<&Run> = of_kind(RunName::Steady).collect();
    let all: Vec<&Run> = flat_out.iter().chain(&steady).copied().collect();
    if all.is_empty() {
        return Ok(());
    }
    page.section("Throughput, CPU and memory");
    headline(page, &all, &results.limits);
    let end_to_end: Vec<&Run> = of_kind(RunName::EndToEnd).collect();
    if let Some(run) = middle(&end_to_end, |run| run.events_per_second)
        && run.samples.len() > 1
    {
        let of = format!("end to end, {}", setting(run));
        let shows = format!("Events a second over time, {of}");
        page.plot("throughput.svg", &shows, plot::throughput(run, &of)?);
    }
    let groups: Vec<_> = [("As fast as possible", flat_out), ("At a steady rate", steady)]
        .into_iter()
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(title, runs)| (title, cpu_rows(&runs)))
        .collect();
    page.plot("cpu.svg", "CPU an event by process", plot::cpu(&groups)?);
    memory(page, &all);
    what_was_run(page, &all);
    consumer(page, &all);
    Ok(())
}

fn headline(page: &mut Page, runs: &[&Run], limits: &[Limit]) {
    let processes = plot::processes(runs.iter().map(|run| &run.cpu_micros));
    let mut head = vec!["job".to_owned(), "events/s".into(), "bare program".into(), "share of it".into()];
    head.extend(processes.iter().map(|process| format!("CPU µs an event: {}", plot::display(process))));
    head.extend(["CPU µs an event: all".into(), "processors busy".into(), "consumer's peak memory".into()]);
    let mut table = Table::new(1, head);
    for (name, run) in names(runs).into_iter().zip(runs) {
        let bare = limit(run, limits).map(|limit| limit.events_per_second);
        let mut row = vec![
            name,
            rate(run.events_per_second),
            bare.map_or_else(String::new, rate),
            bare.map_or_else(String::new, |bare| percent(run.events_per_second / bare)),
        ];
        row.extend(processes.iter().map(|process| cell(run.cpu_micros.get(process), |&used| figure(used))));
        let all: f64 = run.cpu_micros.values().sum();
        row.push(figure(all));
        row.push(figure(all * run.events_per_second / 1e6));
        row.push(cell(run.memory_peak.get("consumer"), |&peak| format_size(peak)));
        table.row(row);
    }
    page.table(&table.without_empty_columns());
}

fn memory(page: &mut Page, runs: &[&Run]) {
    let processes = plot::processes(runs.iter().map(|run| &run.memory_peak));
    let head = ["peak memory".to_owned()];
    let mut table = Table::new(1, head.into_iter().chain(processes.iter().map(|name| plot::display(name))));
    for (name, run) in names(runs).into_iter().zip(runs) {
        let peaks = processes.iter().map(|process| cell(run.memory_peak.get(process), |&p| format_size(p)));
        table.row([name].into_iter().chain(peaks));
    }
    page.table(&table);
}

fn what_was_run(page: &mut Page, runs: &[&Run]) {
    let head = ["run", "events", "s", "partitions", "consumers", "bytes an event", "events/s offered"];
    let mut table = Table::new(1, head);
    for (name, run) in names(runs).into_iter().zip(runs) {
        table.row([
            name,
            format_grouped(run.events),
            figure(run.seconds),
            run.setting.partitions.to_string(),
            run.setting.consumers.to_string(),
            figure(run.setting.event_bytes),
            run.setting.rate.map_or_else(|| "all it takes".to_owned(), format_grouped),
        ]);
    }
    page.table(&table);
}

fn consumer(page: &mut Page, runs: &[&Run]) {
    let head = ["what the consumer did", "events a batch", "file, bytes an event", "Redis, bytes an event"];
    let mut table = Table::new(1, head.into_iter().chain(["syncs", "a sync, ms", "Redis left behind"]));
    for (name, run) in names(runs).into_iter().zip(runs) {
        let (did, events) = (&run.consumer, run.events as f64);
        table.row([
            name,
            figure(did.batch_events),
            figure(did.file_bytes as f64 / events),
            figure(did.redis_bytes as f64 / events),
            format_grouped(did.syncs),
            figure(did.sync_ms),
            did.redis_detached.to_string(),
        ]);
    }
    page.table(&table);
}

fn cpu_rows<'a>(runs: &[&'a Run]) -> Vec<CpuRow<'a>> {
    let rows = names(runs).into_iter().zip(runs);
    rows.map(|(name, run)| CpuRow { name, micros: &run.cpu_micros }).collect()
}

/// What a bare program made of the same job; a steady one's rate is no achievement.
fn limit<'a>(run: &Run, limits: &'a [Limit]) -> Option<&'a Limit> {
    let job = match run.name {
        RunName::EndToEnd => LimitJob::EndToEnd,
        RunName::Backlog => LimitJob::Backlog,
        _ => return None,
    };
    limits.iter().find(|limit| limit.job == job)
}

/// Each run's job in words, numbered where the same was run several times.
pub fn names(runs: &[&Run]) -> Vec<String> {
    let jobs: Vec<String> = runs.iter().map(|run| job(run)).collect();
    let mut names = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        let number = jobs[..=index].iter().filter(|other| *other == job).count();
        let several = jobs.iter().filter(|other| *other == job).count() > 1;
        names.push(if several { format!("{job}, run {number}") } else { job.clone() });
    }
    names
}

fn job(run: &Run) -> String {
    let offered = run.setting.rate.map_or_else(String::new, |rate| format!(", {}", short_rate(rate as f64)));
    match run.name {
        RunName::EndToEnd | RunName::BySize | RunName::ByPartitions => "end to end".to_owned(),
        RunName::Backlog | RunName::ByConsumers | RunName::ByWorkers => "from a backlog".to_owned(),
        RunName::Steady => format!("steady{offered}"),
        RunName::Spike => format!("spike{offered}"),
    }
}

/// What a run was made with, in one line.
pub fn setting(run: &Run) -> String {
    format!(
        "{} events of {} bytes, {}, {}",
        short(run.events as f64),
        figure(run.setting.event_bytes),
        format_counted(run.setting.partitions.into(), "partition"),
        format_counted(run.setting.consumers.into(), "consumer")
    )
}

fn cell<T>(value: Option<T>, written: impl Fn(T) -> String) -> String {
    value.map_or_else(String::new, written)
}

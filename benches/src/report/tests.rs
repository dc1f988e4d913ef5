//! The reports as a whole: what they say is what the results say.

use super::{fixture, render, write, write_soak, write_study};
use crate::results::{Results, RunName};
use roxmltree::Document;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Everything that lies in a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect()
}

fn written(results: &Results) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    write(results, folder.path()).unwrap();
    files(folder.path())
}

/// The texts of a plot; that it is XML, of a fixed size and white, is checked on the way.
fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "svg");
    assert!(root.attribute("width").is_some() && root.attribute("height").is_some());
    let sheet = root.first_element_child().unwrap();
    assert_eq!((sheet.tag_name().name(), sheet.attribute("fill")), ("rect", Some("#FFFFFF")));
    let texts =
        document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
    texts.map(|node| node.text().unwrap_or_default().trim().to_owned()).collect()
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "'{part}' is not in:\n{text}");
}

#[test]
fn the_report_says_what_the_results_say() {
    let files = written(&fixture::results());
    let report = &files["report.md"];
    for part in [
        "Measured on 2026-11-22 07:12 UTC by `make bench`, which took 24 min 10 s.",
        "| processor | AMD EPYC 9B14 |",
        "| Kafka | 3.9.1 |",
        "| end to end | 969,000 | 1,090,000 | 89 % | 0.540 | 0.650 | 0.450 | 0.320 | 0.004 | 1.96 | 1.90 |",
        "| from a backlog | 2,240,000 | 1,460,000 | 154 % |",
        "### steady, 500 k/s",
        "| visible in Redis | 9.00 | 16.2 | 27.9 | 54.0 | 126 | 250,000 |",
        "| *visible in Redis, bare program* | 6.30 |",
        "| lag does not grow | 900,000 | 800 k ✓, 900 k ✓, 1 M ✗ |",
        "| p99&lt;100ms | none of those tried | 100 k ✗ |",
        "was below that again **9.00 s** later",
        "| 8 | 955,000 |",
        "| Vector | 1.2.3 | file + Redis | at least once, offsets stored after the sinks | 95,000 | 14.2 |",
        "| 24× | 28× |",
        "- Logstash: no package of it here",
        "none \\| &lt;best effort&gt;",
        "produced 1,500,000 events/s",
    ] {
        has(report, part);
    }
}

#[test]
fn every_plot_is_xml_has_its_title_and_is_shown() {
    let files = written(&fixture::results());
    for (name, title) in [
        ("throughput.svg", "Throughput over time"),
        ("cpu.svg", "CPU an event"),
        ("latency-10k.svg", "Latency by percentile"),
        ("latency-500k.svg", "Latency by percentile"),
        ("spike.svg", "A spike"),
        ("by-size.svg", "By the size of events"),
        ("by-partitions.svg", "By partitions"),
        ("by-consumers.svg", "By consumers"),
        ("by-workers.svg", "By workers of one consumer"),
        ("consumers.svg", "Consumers side by side"),
        ("producers.svg", "Producers side by side"),
    ] {
        assert_eq!(texts(&files[name])[0], title, "{name}");
        has(&files["report.md"], &format!("]({name})"));
    }
    assert_eq!(files.len(), 12);
}

#[test]
fn another_figure_makes_another_report() {
    let mut results = fixture::results();
    let before = written(&results);
    results.runs[0].events_per_second = 812_345.0;
    results.consumers[2].name = "Vector & sons".into();
    let after = written(&results);
    has(&after["report.md"], "| end to end | 812,000 |");
    assert!(texts(&after["throughput.svg"]).contains(&"mean 812 k/s".to_owned()));
    assert!(texts(&after["consumers.svg"]).contains(&"Vector & sons".to_owned()));
    assert_eq!(before["by-size.svg"], after["by-size.svg"]);
}

#[test]
fn what_was_not_measured_is_not_mentioned() {
    let mut results = fixture::results();
    results.runs.retain(|run| run.name == RunName::Backlog);
    results.consumers.clear();
    results.producers.clear();
    results.max_rates.clear();
    results.limits.clear();
    let files = written(&results);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["cpu.svg", "report.md"]);
    let report = &files["report.md"];
    let headings: Vec<&str> = report.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(headings, ["## Throughput, CPU and memory", "## How each figure is defined"]);
    assert!(!report.contains("bare") && !report.contains("Latency") && !report.contains("spike"));

    results.runs.clear();
    assert_eq!(written(&results).len(), 1, "a page without plots");
}

#[test]
fn figures_of_nothing_break_nothing() {
    let mut results = fixture::results();
    for run in &mut results.runs {
        (run.events, run.seconds, run.events_per_second) = (0, 0.0, 0.0);
        run.cpu_micros.clear();
        run.samples.truncate(1);
        run.latency.values_mut().for_each(|latency| *latency = Default::default());
    }
    let files = written(&results);
    assert!(
        !["NaN", "inf", "18,446,"].iter().any(|odd| files["report.md"].contains(odd)),
        "{}",
        files["report.md"]
    );
    files.iter().filter(|(name, _)| name.ends_with(".svg")).for_each(|(_, svg)| drop(texts(svg)));
}

#[test]
fn the_study_says_what_its_pairs_say() {
    let folder = tempfile::tempdir().unwrap();
    write_study(&fixture::study(), folder.path()).unwrap();
    let files = files(folder.path());
    let report = &files["study-tuning.md"];
    for part in [
        "Measured on 2026-11-22 08:00 UTC by `bench tuning`, which took 1 h 1 min.",
        "offered 500,000 events/s, the same ones (seed 7)",
        "| batching | 4 partitions, linger 1 ms |",
        "| A/A | baseline | baseline | p50 | 8 |",
        "| 1.01 | 0.953 – 1.07 | the noise floor |",
        "| 0.960 | 0.906 – 1.02 | not told from chance |",
        "| 0.550 | 0.519 – 0.583 | faster by 45 % |",
    ] {
        has(report, part);
    }
    assert_eq!(texts(&files["study-tuning-ratios.svg"])[0], "What tuning does to the latency");
    assert_eq!(texts(&files["study-tuning-pairs.svg"])[0], "Every pair of runs");
}

#[test]
fn the_soak_says_what_its_samples_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut soak = fixture::soak();
    for sample in &mut soak.samples[60..] {
        sample.held.get_mut("consumer").unwrap().memory += 50 << 20;
    }
    write_soak(&soak, folder.path()).unwrap();
    let written = files(folder.path());
    for part in [
        "Measured on 2026-11-22 08:00 UTC by `bench soak --rate 1000 --for 100s`",
        "1,000 events/s were offered; within 1 min 39 s **100,000 events** came through, 16.1 MiB",
        "visible in Redis p50 was 6 ms and p99 12 ms, to synced 20 ms and 40 ms",
        "| events in Kafka that are not read | 3 | 3 | flat |",
        "| memory, consumer | 180.0 MiB | 230.0 MiB | **not flat** |",
        "| threads, redis | 9 | 9 | flat |",
        "](soak.svg)",
    ] {
        has(&written["soak.md"], part);
    }
    let texts = texts(&written["soak.svg"]);
    assert_eq!((texts[0].as_str(), texts[1].as_str()), ("A soak", "1 k/s for 1 min 39 s"));
    assert!(texts.contains(&"CPU, cores".to_owned()));

    // Made anew of soak.json alone it is the same, to the byte.
    let anew = tempfile::tempdir().unwrap();
    fs::write(anew.path().join("soak.json"), serde_json::to_string(&soak).unwrap()).unwrap();
    render(anew.path()).unwrap();
    let mut anew = files(anew.path());
    anew.remove("soak.json");
    assert_eq!(anew, written);

    // One that ended at once has a page and a plot, too.
    soak.samples.truncate(1);
    soak.latency_over_time.clear();
    write_soak(&soak, folder.path()).unwrap();
    assert!(!files(folder.path())["soak.md"].contains("flat |"));
    soak.samples.clear();
    write_soak(&soak, folder.path()).unwrap();
}

#[test]
fn made_anew_of_what_lies_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let refused = render(folder.path()).unwrap_err().to_string();
    has(&refused, "neither results.json nor study-tuning.json");
    fs::write(folder.path().join("results.json"), serde_json::to_string(&fixture::results()).unwrap())
        .unwrap();
    render(folder.path()).unwrap();
    assert!(!folder.path().join("study-tuning.md").exists());
    fs::write(folder.path().join("study-tuning.json"), serde_json::to_string(&fixture::study()).unwrap())
        .unwrap();
    render(folder.path()).unwrap();
    let mut files = files(folder.path());
    files.retain(|name, _| name.starts_with("report") || name.starts_with("study"));
    assert_eq!(files.len(), 5, "{:?}", files.keys());

    fs::write(folder.path().join("results.json"), "{}").unwrap();
    has(&format!("{:#}", render(folder.path()).unwrap_err()), "understanding");
}

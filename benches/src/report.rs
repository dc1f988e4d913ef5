//! Reports for people, of what a bench measured: Markdown and SVG plots, made from the results alone.
//!
//! `report.md` and its plots come from `results.json`, `study-tuning.md` and its plots from
//! `study-tuning.json`, `soak.md` and its plot from `soak.json`. What was not measured is not mentioned.

mod contenders;
mod curves;
mod definitions;
mod latency;
mod plot;
mod runs;
mod series;
mod soak;
mod spike;
mod study;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use crate::results::{Results, Soak, Study};
use anyhow::{Context, ensure};
use figures::page::Page;
use serde::de::DeserializeOwned;
pub use soak::{Grown, grown};
use std::fs;
use std::path::Path;

/// Writes `report.md` and its plots into a folder that exists.
///
/// # Errors
/// When a plot can't be drawn or a file can't be written.
pub fn write(results: &Results, folder: &Path) -> anyhow::Result<()> {
    let mut page = Page::new("Sluice, measured", &results.command);
    page.origin(&results.machine, &results.started, results.seconds);
    runs::write(&mut page, results)?;
    latency::write(&mut page, results)?;
    spike::write(&mut page, results)?;
    curves::write(&mut page, results)?;
    contenders::write(&mut page, results)?;
    definitions::write(&mut page, results);
    page.save(folder, "report.md")
}

/// Writes `study-tuning.md` and its plots into a folder that exists.
///
/// # Errors
/// As [`write`].
pub fn write_study(study: &Study, folder: &Path) -> anyhow::Result<()> {
    let mut page = Page::new("What tuning does to the latency", &study.command);
    page.origin(&study.machine, &study.started, study.seconds);
    study::write(&mut page, study)?;
    page.save(folder, "study-tuning.md")
}

/// Writes `soak.md` and its plot into a folder that exists.
///
/// # Errors
/// As [`write`].
pub fn write_soak(soak: &Soak, folder: &Path) -> anyhow::Result<()> {
    let mut page = Page::new("A soak", &soak.command);
    page.origin(&soak.machine, &soak.started, soak.seconds);
    soak::write(&mut page, soak)?;
    page.save(folder, "soak.md")
}

/// Makes the reports anew of what lies in a folder: `results.json`, `study-tuning.json`, `soak.json`.
///
/// # Errors
/// When none is there, one can't be understood, or as [`write`].
pub fn render(folder: &Path) -> anyhow::Result<()> {
    let results: Option<Results> = read(&folder.join("results.json"))?;
    let study: Option<Study> = read(&folder.join("study-tuning.json"))?;
    let soak: Option<Soak> = read(&folder.join("soak.json"))?;
    ensure!(
        results.is_some() || study.is_some() || soak.is_some(),
        "neither results.json nor study-tuning.json nor soak.json is in {}",
        folder.display()
    );
    if let Some(results) = results {
        write(&results, folder)?;
        println!("wrote {}", folder.join("report.md").display());
    }
    if let Some(study) = study {
        write_study(&study, folder)?;
        println!("wrote {}", folder.join("study-tuning.md").display());
    }
    if let Some(soak) = soak {
        write_soak(&soak, folder)?;
        println!("wrote {}", folder.join("soak.md").display());
    }
    Ok(())
}

/// A JSON file, if it is there.
fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value = serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))?;
    Ok(Some(value))
}

//! A page of Markdown with its plots, built from the top down.

use crate::machine::Machine;
use crate::numbers::duration;
use crate::table::{Table, escaped};
use anyhow::Context;
use chrono::DateTime;
use common::units::{format_grouped, format_size};
use std::fs;
use std::path::Path;

/// What is written so far.
#[derive(Debug)]
pub struct Page {
    text: String,
    /// Names and SVG texts.
    plots: Vec<(String, String)>,
    command: String,
}

impl Page {
    /// A page under a title; `command` is what reproduces it.
    pub fn new(title: &str, command: &str) -> Self {
        Self { text: format!("# {title}\n"), plots: Vec::new(), command: code(command) }
    }

    /// Where, when and how long it was measured, and with what.
    pub fn origin(&mut self, machine: &Machine, started: &str, seconds: f64) {
        let when = DateTime::parse_from_rfc3339(started)
            .map_or_else(|_| escaped(started), |when| when.to_utc().format("%Y-%m-%d %H:%M UTC").to_string());
        self.text(&format!("Measured on {when} by {}, which took {}.", self.command, duration(seconds)));
        let mut table = Table::new(2, ["machine", ""]);
        table.row(["processor".to_owned(), escaped(&machine.processor)]);
        table.row(["logical processors".to_owned(), format_grouped(machine.cores as u64)]);
        table.row(["memory".to_owned(), format_size(machine.memory)]);
        table.row(["kernel".to_owned(), escaped(&machine.kernel)]);
        table.row(["file system under the log file".to_owned(), escaped(&machine.file_system)]);
        for (name, version) in &machine.versions {
            table.row([escaped(name), escaped(version)]);
        }
        self.table(&table);
    }

    /// Begins a section and says how to reproduce it.
    pub fn section(&mut self, heading: &str) {
        self.text += &format!("\n## {heading}\n\nMeasured by {}.\n", self.command);
    }

    /// Begins a section in which nothing was measured.
    pub fn chapter(&mut self, heading: &str) {
        self.text += &format!("\n## {heading}\n");
    }

    /// A heading within a section.
    pub fn heading(&mut self, heading: &str) {
        self.text += &format!("\n### {heading}\n");
    }

    /// A paragraph, Markdown already.
    pub fn text(&mut self, paragraph: &str) {
        self.text += &format!("\n{paragraph}\n");
    }

    /// A table, unless it has no row.
    pub fn table(&mut self, table: &Table) {
        if !table.is_empty() {
            self.text += &format!("\n{}", table.markdown());
        }
    }

    /// A plot: the name of its file, what it shows for those who can't see it, and its SVG text.
    pub fn plot(&mut self, name: &str, shows: &str, svg: String) {
        self.text += &format!("\n![{}]({name})\n", escaped(shows));
        self.plots.push((name.to_owned(), svg));
    }

    /// Writes the page and its plots into a folder that exists.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let files = self.plots.iter().map(|(name, svg)| (name.as_str(), svg.as_str()));
        for (name, text) in files.chain([(name, self.text.as_str())]) {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

/// As code within a line; backticks in it are kept by a longer fence.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

//! The machine that figures were measured on.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine and the versions of what ran on it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// As `/proc/cpuinfo` names it.
    pub processor: String,
    /// Logical processors.
    pub cores: usize,
    /// Bytes.
    pub memory: u64,
    /// `Linux 6.1.0`.
    pub kernel: String,
    /// File system under the log file, `ext4`.
    pub file_system: String,
    /// By name (`Kafka`, `Redis`, `Java`, `librdkafka`, `Sluice`).
    pub versions: BTreeMap<String, String>,
}

/// Describes this machine, and the file system under `folder`.
///
/// # Errors
/// When the number of processors can't be told.
pub fn describe(folder: &Path) -> Result<Machine> {
    let line = |path: &str, key: &str| -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    };
    let kilobytes =
        line("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches("kB").trim().parse().ok());
    let folder = folder.to_string_lossy();
    Ok(Machine {
        processor: line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism()?.get(),
        memory: kilobytes.unwrap_or(0_u64) << 10,
        kernel: said("uname", &["-sr"]),
        file_system: said("findmnt", &["-n", "-o", "FSTYPE", "-T", &folder]),
        versions: BTreeMap::from([
            ("Kafka".to_owned(), harness::KAFKA_VERSION.to_owned()),
            ("Redis".to_owned(), said("redis-server", &["--version"])),
            ("Java".to_owned(), said("java", &["--version"])),
            ("librdkafka".to_owned(), rdkafka::util::get_rdkafka_version().1),
            ("Sluice".to_owned(), sluice()),
        ]),
    })
}

/// The version, and the commit that this checkout is at, marked if it is changed.
fn sluice() -> String {
    let checkout = harness::checkout().to_string_lossy();
    let commit = said("git", &["-C", &checkout, "describe", "--always", "--dirty"]);
    format!("{} ({commit})", env!("CARGO_PKG_VERSION"))
}

/// The first line that a program says; `unknown` when it can't be asked.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().filter(|line| !line.is_empty()).unwrap_or("unknown").trim().to_owned()
}

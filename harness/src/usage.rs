//! What a process has cost so far: CPU and memory, its children included.

use serde::{Deserialize, Serialize};
use std::fs;

/// Clock ticks a second in `/proc/PID/stat`: fixed at 100 by the kernel's interface to user space (proc(5)).
const TICKS: f64 = 100.0;

/// CPU and memory of a process and of what it started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time, s; of ended children, too, once they were waited for.
    pub cpu_seconds: f64,
    /// Largest resident memory, bytes: each process's own peak, added up.
    pub memory_peak: u64,
}

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Resident memory, bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Its threads.
    pub threads: u64,
    /// User and system time so far, s.
    pub cpu_seconds: f64,
}

/// Usage of process `pid` and of the running children of its main thread; nothing of a process that is gone.
pub fn usage(pid: u32) -> Usage {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let own =
        Usage { cpu_seconds: cpu_seconds(&read("stat")), memory_peak: bytes(&read("status"), "VmHWM:") };
    let children = read(&format!("task/{pid}/children"));
    children.split_whitespace().filter_map(|child| child.parse().ok()).map(usage).fold(own, |sum, child| {
        Usage {
            cpu_seconds: sum.cpu_seconds + child.cpu_seconds,
            memory_peak: sum.memory_peak + child.memory_peak,
        }
    })
}

/// What process `pid` holds now; none once it is gone.
pub fn held(pid: u32) -> Option<Held> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let (status, stat) = (read("status")?, read("stat")?);
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok())?;
    // One that has ended and was not waited for has no memory any more.
    let memory = Some(bytes(&status, "VmRSS:")).filter(|&memory| memory > 0)?;
    Some(Held { memory, descriptors, threads, cpu_seconds: cpu_seconds(&stat) })
}

/// Fields 14 to 17 of `/proc/PID/stat`, counted from behind the name in brackets, which may hold anything.
fn cpu_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

/// A line of `/proc/PID/status` that is a size; 0 without it.
fn bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_kernel_are_read() {
        let stat = "7 (a) name) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 1 0 99";
        assert_eq!(cpu_seconds(stat), 2.5);
        assert_eq!(cpu_seconds(""), 0.0);
        assert_eq!(bytes("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n", "VmHWM:"), 2 << 20);
        assert_eq!(bytes("", "VmHWM:"), 0);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(usage(std::process::id()).memory_peak > 0);
        let held = held(std::process::id()).unwrap();
        assert!(held.memory > 0 && held.descriptors > 2 && held.threads > 1);
        assert_eq!(super::held(u32::MAX), None, "no such process");
    }
}

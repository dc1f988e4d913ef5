//! What the kernel knows of a process: CPU time and memory (proc(5)).

use std::fs;

/// Clock ticks a second in `/proc/PID/stat`: fixed at 100 by the kernel's interface to user space.
const TICKS: f64 = 100.0;

/// CPU seconds, user and system, that a process was charged so far; 0 when it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields 14 and 15, counted from behind the name in brackets, which may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS
}

/// Largest resident memory so far, bytes; 0 when the process is gone.
pub fn memory_peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) << 10
}

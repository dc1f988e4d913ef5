//! The plots of the reports.

mod bars;
mod cpu;
mod curves;
mod forest;
mod pairs;
mod percentiles;
mod soak;
mod spike;
mod throughput;

pub use bars::{Bar, bars};
pub use cpu::{CpuRow, cpu, display, processes};
pub use curves::{Line, Side, curves};
pub use forest::forest;
pub use pairs::pairs;
pub use percentiles::{percentiles, words};
pub use soak::soak;
pub use spike::{BOUND_MS, spike};
pub use throughput::throughput;

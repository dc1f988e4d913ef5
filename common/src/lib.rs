//! What producer and consumer must agree on: the event and how it is read, who sent it, reports, units.

pub mod crash;
pub mod decode;
pub mod event;
pub mod latency_log;
pub mod level;
pub mod report;
pub mod shutdown;
pub mod telemetry;
pub mod terminal;
pub mod units;

//! The consumer's contracts on real Kafka, with ZooKeeper and without, and Redis: nothing lost, nothing doubled, whatever dies.
//!
//! Each test has a stack of its own and ends with the same audit ([`Scene::audit`]).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod configuration;
mod crashes;
mod degraded;
mod high_availability;
mod instances;
mod kafka4;
mod latencies;
mod memory;
mod outages;
mod rebalances;
mod rejected;
mod scene;
mod secured;
mod topics;
mod workers;

//! The consumer's contracts on real Kafka, ZooKeeper and Redis: nothing lost, nothing doubled, whatever dies.
//!
//! Each test has a stack of its own and ends with the same audit ([`Scene::audit`]).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod configuration;
mod crashes;
mod latencies;
mod outages;
mod rebalances;
mod scene;
mod topics;

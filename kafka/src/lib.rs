//! librdkafka's batch calls behind a safe interface.
//!
//! rust-rdkafka gives one message a call in both directions, which costs more than the whole rest of the
//! pipeline. librdkafka itself takes and gives arrays: [`consume::DataQueue`] and [`produce::BatchProducer`]
//! wrap those calls, `sticky` says where messages without a key go, `log` reads what librdkafka tells nobody but its
//! log, [`commit::Commits`] hears the answers to commits, [`topic::topic_id`] asks what rust-rdkafka has no words for, and
//! [`memory::give_back`] returns what all its buffers took. All unsafe code of the workspace is in these modules;
//! everything else about Kafka (groups, rebalances, metadata) goes through rust-rdkafka's safe interface.

pub mod commit;
pub mod consume;
mod guard;
mod log;
pub mod memory;
pub mod options;
pub mod produce;
mod sticky;
pub mod topic;

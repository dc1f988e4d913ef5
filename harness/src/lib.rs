//! Real servers for tests, benches and the demo, and the programs under test beside them.
//!
//! ```no_run
//! use harness::{Program, Signal, Stack, StackOptions, wait_until};
//! use std::time::Duration;
//!
//! # fn main() -> anyhow::Result<()> {
//! let stack = Stack::start(StackOptions::default())?;
//! stack.create_topic("logs", 4)?;
//! let folder = stack.folder().join("consumer");
//! let arguments = ["--brokers", &stack.bootstrap(), "--redis-url", &stack.redis_url(), "--file", "logs.txt"];
//! let mut consumer = Program::start("consumer", arguments, &[], &folder)?;
//! stack.produce("logs", None, None, [r#"{"level":"INFO","message":"hello"}"#])?;
//! wait_until("a line in logs.txt", Duration::from_secs(30), || {
//!     std::fs::read_to_string(folder.join("logs.txt")).is_ok_and(|text| text.lines().count() == 1)
//! })?;
//! consumer.signal(Signal::TERM)?;
//! assert!(consumer.wait(Duration::from_secs(30))?.success());
//! # Ok(())
//! # }
//! ```
//!
//! Kafka and ZooKeeper run from the jars that `scripts/setup` fetches; Redis is the system's `redis-server`.

mod client;
pub mod http;
pub mod ports;
mod process;
mod program;
mod proxy;
mod redis_servers;
mod secure;
mod servers;
mod stack;
pub mod usage;
mod wait;

pub use client::Record;
pub use process::send_signal;
pub use program::{Program, built};
pub use proxy::{Link, Proxy};
pub use redis_servers::{REDIS_MASTER, REDIS_TAG, RedisLayout};
pub use rustix::process::Signal;
pub use secure::{Secured, USER};
pub use servers::kafka::KafkaVersion;
pub use stack::{Ports, Stack, StackOptions};
pub use wait::{Answer, wait_until};

/// Version of Kafka that [`Stack`] starts unless told otherwise; `scripts/setup` fetches it.
pub const KAFKA_VERSION: &str = "3.9.1";

/// Where `scripts/setup` puts the jars of that and ZooKeeper.
pub fn kafka_jars() -> std::path::PathBuf {
    KafkaVersion::ZooKeeper39.jars()
}

/// The checkout this was built in.
pub fn checkout() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace's folder")
}

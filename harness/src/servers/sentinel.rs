//! A Redis Sentinel, which makes a replica the master when the master is dead.

use anyhow::{Context, Result};
use std::path::Path;

use super::{Server, redis as redis_server};
use crate::process::Lifetime;

/// Describes Sentinel `id` (from 1), which looks after the `master`'s port by a `name`; starts nothing.
///
/// A master that says nothing for a second is taken for dead, if two Sentinels find so; a fail-over that does not
/// succeed is tried again after six. A Sentinel keeps what it learns in its settings, and so through a kill.
pub(crate) fn server(
    stack: &Path,
    id: usize,
    port: u16,
    name: &str,
    master: u16,
    lifetime: Lifetime,
) -> Result<Server> {
    let server = Server::new(&format!("sentinel-{id}"), stack, port, lifetime)?;
    let settings = server.write(
        "sentinel.conf",
        &format!(
            "port {port}\n\
             bind 127.0.0.1\n\
             dir {data}\n\
             sentinel monitor {name} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {name} 1000\n\
             sentinel failover-timeout {name} 3000\n",
            data = server.data().display(),
        ),
    )?;
    Ok(server.runs("redis-server", [settings.display().to_string(), "--sentinel".to_owned()]))
}

/// The port of the master, as this Sentinel knows it.
pub(crate) fn master(port: u16, name: &str) -> Result<u16> {
    let mut sentinel = redis_server::connect(port)?;
    let (_, master): (String, u16) =
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query(&mut sentinel)?;
    Ok(master)
}

/// True once it knows a replica that could take over, and so many other Sentinels.
pub(crate) fn ready(port: u16, name: &str, others: usize) -> bool {
    let state = || -> Result<bool> {
        let mut sentinel = redis_server::connect(port)?;
        let state: std::collections::HashMap<String, String> =
            redis::cmd("SENTINEL").arg("MASTER").arg(name).query(&mut sentinel)?;
        let count = |key: &str| state.get(key).and_then(|n| n.parse::<usize>().ok()).context("no count");
        Ok(count("num-slaves")? > 0 && count("num-other-sentinels")? == others)
    };
    state().unwrap_or(false)
}

//! Redis, with snapshots: a kill throws it back to the last one, and a test asks for one with `SAVE`.

use anyhow::{Context, Result};
use redis::Connection;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Server;
use crate::process::Lifetime;

/// Until a connection is made, and between a command and its reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// Describes a server with `more` settings; starts nothing.
pub(crate) fn server(name: &str, stack: &Path, port: u16, lifetime: Lifetime, more: &str) -> Result<Server> {
    let server = Server::new(name, stack, port, lifetime)?;
    let settings = server.write(
        "redis.conf",
        &format!(
            "port {port}\n\
             bind 127.0.0.1\n\
             dir data\n\
             appendonly no\n\
             save 60 1\n\
             {more}"
        ),
    )?;
    Ok(server.runs("redis-server", [settings.display().to_string()]))
}

/// True if it answers PING, which it does not while it still loads its data.
pub(crate) fn answers(port: u16) -> bool {
    connect(port).is_ok_and(|mut connection| {
        redis::cmd("PING").query::<String>(&mut connection).is_ok_and(|answer| answer == "PONG")
    })
}

/// A connection with deadlines on every exchange.
pub(crate) fn connect(port: u16) -> Result<Connection> {
    let connect = || {
        let connection = redis::Client::open(url(port))?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok::<_, redis::RedisError>(connection)
    };
    connect().with_context(|| format!("cannot reach Redis at {}", url(port)))
}

/// `redis://127.0.0.1:PORT`.
pub(crate) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Forgets everything; the server must not be running.
pub(crate) fn empty(server: &Server) -> Result<()> {
    let data = server.data();
    fs::remove_dir_all(&data)
        .and_then(|()| fs::create_dir(&data))
        .with_context(|| format!("cannot empty {}", data.display()))
}

/// True if it is a master at present.
pub(crate) fn is_master(port: u16) -> Result<bool> {
    Ok(replication(port)?.contains("role:master"))
}

/// True if it is a master with a replica that has all it had.
pub(crate) fn has_replica(port: u16) -> Result<bool> {
    let state = replication(port)?;
    Ok(state.contains("role:master") && state.contains("state=online"))
}

fn replication(port: u16) -> Result<String> {
    Ok(redis::cmd("INFO").arg("replication").query(&mut connect(port)?)?)
}

//! ZooKeeper, standing alone, and its four-letter commands.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{Server, java};
use crate::KafkaVersion;
use crate::process::Lifetime;

/// Between a question and its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Describes the server; starts nothing.
pub(crate) fn server(stack: &Path, port: u16, lifetime: Lifetime) -> Result<Server> {
    let server = Server::new("zookeeper", stack, port, lifetime)?;
    let settings = server.write(
        "zoo.cfg",
        &format!(
            "tickTime=1000\n\
             dataDir={}\n\
             clientPort={port}\n\
             clientPortAddress=127.0.0.1\n\
             maxClientCnxns=0\n\
             admin.enableServer=false\n\
             forceSync=no\n\
             4lw.commands.whitelist=ruok,dump\n",
            server.data().display()
        ),
    )?;
    java(
        server,
        KafkaVersion::ZooKeeper39,
        "128m",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        &settings,
    )
}

/// True if it says so itself.
pub(crate) fn answers(port: u16) -> bool {
    ask(port, "ruok").is_some_and(|answer| answer == "imok")
}

/// True while a broker's registration is there. That of a killed one stays until its session times out, and
/// until then a new broker of the same id is refused.
pub(crate) fn knows_broker(port: u16, id: usize) -> bool {
    let node = format!("/brokers/ids/{id}");
    ask(port, "dump").is_some_and(|answer| answer.lines().any(|line| line.trim() == node))
}

/// Id of the broker that is the controller: the one whose session holds that node, too.
pub(crate) fn controller(port: u16) -> Option<usize> {
    controller_of(&ask(port, "dump")?)
}

fn controller_of(dump: &str) -> Option<usize> {
    // A session is a line at the margin, and the nodes that end with it are indented below.
    let sessions = dump.split("\n0x");
    let holder = sessions.filter(|session| session.lines().any(|line| line.trim() == "/controller"));
    let ids = |session: &str| {
        session.lines().find_map(|line| line.trim().strip_prefix("/brokers/ids/")?.parse::<usize>().ok())
    };
    holder.filter_map(ids).next()
}

fn ask(port: u16, command: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_the_broker_of_the_same_session() {
        let dump = "Session Sets (3)/(2):\n0 expire at Thu Nov 26 12:00:00 UTC 2026:\nephemeral nodes dump:\n\
                    Sessions with Ephemerals (2):\n0x100001:\n\t/brokers/ids/1\n0x100002:\n\t/controller\n\
                    \t/brokers/ids/2\nConnections dump:\n";
        assert_eq!(controller_of(dump), Some(2));
        assert_eq!(controller_of("0x100001:\n\t/brokers/ids/1\n"), None);
    }
}

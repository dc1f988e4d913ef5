//! A node of a Redis Cluster: the slots of the keys are shared out between the masters.

use anyhow::{Context, Result};
use redis::Connection;
use std::path::Path;
use std::time::Duration;

use super::{Server, redis as redis_server};
use crate::ports::free_port;
use crate::process::Lifetime;
use crate::wait_until;

/// Slots of every cluster.
const SLOTS: usize = 16_384;
/// Until all nodes know each other.
const JOINED_WITHIN: Duration = Duration::from_secs(60);

/// Describes a node; starts nothing. A master that says nothing for a second is taken for dead. Who a node is it
/// keeps beside its data, and so when those are removed.
pub(crate) fn node(name: &str, stack: &Path, port: u16, lifetime: Lifetime) -> Result<Server> {
    let settings = format!(
        "cluster-enabled yes\n\
         cluster-config-file ../nodes.conf\n\
         cluster-port {}\n\
         cluster-node-timeout 1000\n\
         repl-diskless-sync-delay 0\n",
        free_port()?
    );
    redis_server::server(name, stack, port, lifetime, &settings)
}

/// Makes a cluster of nodes that answer: of the first half a master each, of the others their replicas.
pub(crate) fn create(nodes: &[Server]) -> Result<()> {
    let mut connections = nodes.iter().map(|n| redis_server::connect(n.port)).collect::<Result<Vec<_>>>()?;
    let masters = nodes.len() / 2;
    for (index, node) in connections.iter_mut().take(masters).enumerate() {
        let (first, end) = (index * SLOTS / masters, (index + 1) * SLOTS / masters);
        cluster("SET-CONFIG-EPOCH").arg(index + 1).exec(node)?;
        cluster("ADDSLOTSRANGE").arg(first).arg(end - 1).exec(node)?;
    }
    for (node, server) in connections.iter_mut().zip(nodes).skip(1) {
        // The first one is told to the others: each then hears of the rest.
        let bus: (String, u16) = redis::cmd("CONFIG").arg("GET").arg("cluster-port").query(node)?;
        let meet = cluster("MEET")
            .arg("127.0.0.1")
            .arg(server.port)
            .arg(bus.1)
            .exec(&mut redis_server::connect(nodes[0].port)?);
        meet.with_context(|| format!("{} does not join", server.name))?;
    }
    wait_until("the nodes of the cluster to know each other", JOINED_WITHIN, || {
        connections.iter_mut().all(|node| {
            info(node).is_ok_and(|i| i.contains(&format!("cluster_known_nodes:{}\r", nodes.len())))
        })
    })?;
    let ids = connections.iter_mut().map(|node| cluster("MYID").query(node));
    let ids = ids.collect::<redis::RedisResult<Vec<String>>>()?;
    for (node, id) in connections.iter_mut().skip(masters).zip(&ids) {
        // Refused while the node has not heard yet that the other one is a master.
        wait_until("a node to be made a replica", JOINED_WITHIN, || {
            cluster("REPLICATE").arg(id).exec(node).is_ok()
        })?;
    }
    wait_until("the cluster to be in order", JOINED_WITHIN, || {
        connections.iter_mut().all(|node| info(node).is_ok_and(|i| i.contains("cluster_state:ok")))
    })
}

/// The port of the master that has the slot of a key, as the node knows it.
pub(crate) fn owner(node: u16, key: &str) -> Result<u16> {
    let Err(moved) = redis::cmd("EXISTS").arg(key).exec(&mut redis_server::connect(node)?) else {
        return Ok(node);
    };
    let owner = moved.redirect_node().and_then(|(address, _)| address.rsplit_once(':')?.1.parse().ok());
    owner.ok_or_else(|| moved.into())
}

fn cluster(command: &str) -> redis::Cmd {
    let mut cmd = redis::cmd("CLUSTER");
    cmd.arg(command);
    cmd
}

fn info(node: &mut Connection) -> redis::RedisResult<String> {
    cluster("INFO").query(node)
}

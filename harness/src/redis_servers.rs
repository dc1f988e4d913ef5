//! Redis as it is run: one server, a master with a replica and Sentinels, or a cluster.

use anyhow::{Context, Result, ensure};
use redis::Connection;
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

use crate::ports::free_port;
use crate::process::Lifetime;
use crate::secure::Secured;
use crate::servers::{Server, redis as redis_server, redis_cluster, sentinel};
use crate::stack::{Stack, addresses};
use crate::wait_until;

/// The name of the master for Sentinels, as `--redis-sentinel` takes it.
pub const REDIS_MASTER: &str = "sluice";
/// The hash tag of the keys that tests have in a cluster, as `--redis-prefix` takes it.
pub const REDIS_TAG: &str = "{logs}";

const SENTINELS: usize = 3;
const NODES: usize = 6;
/// Until a replica has taken over, or a former master follows it: Sentinels wait for eight seconds for that.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// How Redis is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedisLayout {
    /// One server.
    #[default]
    Alone,
    /// A master, a replica, and three Sentinels that know them by [`REDIS_MASTER`].
    Sentinels,
    /// A cluster of three masters, each with a replica.
    Cluster,
}

/// All servers of a layout.
#[derive(Debug)]
pub(crate) struct RedisServers {
    layout: RedisLayout,
    /// At first the masters come first.
    data: Vec<Server>,
    sentinels: Vec<Server>,
}

impl RedisServers {
    /// Describes them; starts nothing.
    pub(crate) fn describe(
        layout: RedisLayout,
        stack: &Path,
        port: u16,
        lifetime: Lifetime,
        secured: Option<&Secured>,
    ) -> Result<RedisServers> {
        ensure!(secured.is_none() || layout == RedisLayout::Alone, "only one Redis can be secured");
        let of_user = secured.map(Secured::of_redis).unwrap_or_default();
        let mut data = Vec::new();
        let mut sentinels = Vec::new();
        match layout {
            RedisLayout::Alone => data.push(redis_server::server("redis", stack, port, lifetime, &of_user)?),
            RedisLayout::Sentinels => {
                let at_once = "repl-diskless-sync-delay 0\n";
                let of_replica = format!("replicaof 127.0.0.1 {port}\n{at_once}");
                data.push(redis_server::server("redis", stack, port, lifetime, at_once)?);
                data.push(redis_server::server("redis-2", stack, free_port()?, lifetime, &of_replica)?);
                for id in 1..=SENTINELS {
                    sentinels.push(sentinel::server(stack, id, free_port()?, REDIS_MASTER, port, lifetime)?);
                }
            }
            RedisLayout::Cluster => {
                data.push(redis_cluster::node("redis", stack, port, lifetime)?);
                for id in 2..=NODES {
                    data.push(redis_cluster::node(&format!("redis-{id}"), stack, free_port()?, lifetime)?);
                }
            }
        }
        Ok(RedisServers { layout, data, sentinels })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Server> {
        self.sentinels.iter().chain(&self.data)
    }

    pub(crate) fn spawn(&self) -> Result<()> {
        self.all().try_for_each(Server::spawn)
    }

    /// Returns when a client can use them and a replica can take over, after their first start.
    pub(crate) fn ready(&self) -> Result<()> {
        self.answer()?;
        if self.layout == RedisLayout::Cluster {
            redis_cluster::create(&self.data)?;
        }
        for sentinel in &self.sentinels {
            sentinel.ready(|| sentinel::ready(sentinel.port, REDIS_MASTER, SENTINELS - 1))?;
        }
        self.await_replica()
    }

    fn answer(&self) -> Result<()> {
        self.data.iter().try_for_each(|server| server.ready(|| redis_server::answers(server.port)))
    }

    fn await_replica(&self) -> Result<()> {
        if self.layout == RedisLayout::Alone {
            return Ok(());
        }
        wait_until("a replica to follow the master", SETTLED_WITHIN, || {
            self.master().and_then(|master| redis_server::has_replica(master.port)).unwrap_or(false)
        })
    }

    /// The master whose keys the tests look at, as those say who ought to know.
    fn master(&self) -> Result<&Server> {
        let running = |servers: &'static str| format!("no {servers} answers");
        let port = match self.layout {
            RedisLayout::Alone => self.data[0].port,
            RedisLayout::Sentinels => {
                let asked = self.sentinels.iter().map(|s| sentinel::master(s.port, REDIS_MASTER));
                asked.flatten().next().with_context(|| running("Sentinel"))?
            }
            RedisLayout::Cluster => {
                let asked = self.data.iter().map(|node| redis_cluster::owner(node.port, REDIS_TAG));
                asked.flatten().next().with_context(|| running("node"))?
            }
        };
        self.data
            .iter()
            .find(|server| server.port == port)
            .with_context(|| format!("no Redis has port {port}"))
    }
}

impl Stack {
    /// `redis://127.0.0.1:PORT`, or of several the Sentinels' or nodes' ports, as `--redis-url` takes them.
    pub fn redis_url(&self) -> String {
        let named = match self.redis.layout {
            RedisLayout::Sentinels => &self.redis.sentinels,
            RedisLayout::Alone | RedisLayout::Cluster => &self.redis.data,
        };
        format!("redis://{}", addresses(named.iter().map(|server| server.port)))
    }

    /// Port of the Redis that began as the (first) master.
    pub fn redis_port(&self) -> u16 {
        self.redis.data[0].port
    }

    /// Port of the Redis that is the master now, as the Sentinels say; in a cluster of that with [`REDIS_TAG`].
    ///
    /// # Errors
    /// When none of those who know it answers.
    pub fn redis_master(&self) -> Result<u16> {
        Ok(self.redis.master()?.port)
    }

    /// Ports of the Redis servers that are not [`redis_master`](Stack::redis_master) now.
    ///
    /// # Errors
    /// As for that.
    pub fn redis_others(&self) -> Result<Vec<u16>> {
        let master = self.redis_master()?;
        Ok(self.redis.data.iter().map(|server| server.port).filter(|&port| port != master).collect())
    }

    /// Kills the Redis that is the master now with SIGKILL, and gives its port.
    ///
    /// # Errors
    /// When nobody knows it or the operating system refuses.
    pub fn kill_redis(&self) -> Result<u16> {
        let master = self.redis.master()?;
        master.kill()?;
        Ok(master.port)
    }

    /// Stops the time of the Redis that is the master now with SIGSTOP, and gives its port.
    ///
    /// # Errors
    /// As for [`kill_redis`](Stack::kill_redis).
    pub fn freeze_redis(&self) -> Result<u16> {
        let master = self.redis.master()?;
        master.signal(Signal::STOP)?;
        Ok(master.port)
    }

    /// Lets every frozen Redis go on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn resume_redis(&self) -> Result<()> {
        self.redis.data.iter().try_for_each(|server| server.signal(Signal::CONT))
    }

    /// Kills one Sentinel, counted from 0, with SIGKILL.
    ///
    /// # Errors
    /// When there is no such Sentinel or the operating system refuses.
    pub fn kill_sentinel(&self, index: usize) -> Result<()> {
        self.redis.sentinels.get(index).with_context(|| format!("no Sentinel {index}"))?.kill()
    }

    /// Starts the Sentinels that do not run, with what they knew.
    ///
    /// # Errors
    /// When one does not answer in time.
    pub fn start_sentinels(&self) -> Result<()> {
        self.redis.sentinels.iter().try_for_each(Server::spawn)?;
        self.redis.sentinels.iter().try_for_each(|s| s.ready(|| redis_server::answers(s.port)))
    }

    /// Returns once another Redis than that with the port `dead` is the master, with its port.
    ///
    /// # Errors
    /// When nobody takes over in time.
    pub fn await_failover(&self, dead: u16) -> Result<u16> {
        let alive = |port: u16| redis_server::is_master(port).unwrap_or(false);
        wait_until("a replica to take over", SETTLED_WITHIN, || {
            self.redis_master().ok().filter(|&port| port != dead && alive(port))
        })
    }

    /// Returns once a replica follows the master, so that this one may die; a former master that was started
    /// again becomes one within some ten seconds.
    ///
    /// # Errors
    /// When none follows in time.
    pub fn await_replica(&self) -> Result<()> {
        self.redis.await_replica()
    }

    /// Asks Redis to end, all servers of it that hold data, and waits for them.
    ///
    /// # Errors
    /// When one does not end within a minute.
    pub fn stop_redis(&self) -> Result<()> {
        self.redis.data.iter().try_for_each(Server::stop)
    }

    /// Starts the Redis servers that do not run on the same ports, with what they last saved or with nothing.
    ///
    /// # Errors
    /// When all run already or one does not answer in time.
    pub fn start_redis(&self, keep_data: bool) -> Result<()> {
        let down: Vec<&Server> = self.redis.data.iter().filter(|server| !server.is_running()).collect();
        ensure!(!down.is_empty(), "Redis runs already: stop or kill it first");
        for server in &down {
            if !keep_data {
                redis_server::empty(server)?;
            }
            server.spawn()?;
        }
        down.iter().try_for_each(|server| server.ready(|| redis_server::answers(server.port)))
    }

    /// A connection to the Redis that is the master now, with deadlines on every exchange.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn redis(&self) -> Result<Connection> {
        redis_server::connect(self.redis_master()?)
    }

    /// A connection to the Redis with that port.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn redis_at(&self, port: u16) -> Result<Connection> {
        redis_server::connect(port)
    }
}

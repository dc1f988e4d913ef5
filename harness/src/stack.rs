//! ZooKeeper, Kafka and Redis started together, each on ports and in a folder of its own.

use anyhow::{Context, Result, bail, ensure};
use redis::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

use crate::client;
use crate::ports::free_port;
use crate::process::Lifetime;
use crate::servers::{Server, kafka, redis as redis_server, zookeeper};
use crate::wait_until;

/// Longer than a broker's ZooKeeper session, after which its registration is gone.
const UNREGISTERED_WITHIN: Duration = Duration::from_secs(30);

/// What to start, and where. The default is what a test wants: one broker, free ports, a temporary folder.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Kafka brokers; internal and default replication is this, at most 3.
    pub brokers: usize,
    /// Heap of each broker, as Java's `-Xmx` takes it: `512m`, `1g`.
    pub kafka_heap: String,
    /// Partitions of a topic created without saying how many.
    pub partitions: usize,
    /// Folder that stays; none: a temporary one, removed on drop unless the thread panics.
    pub folder: Option<PathBuf>,
    /// Ports to listen on; none: free ones.
    pub ports: Option<Ports>,
}

impl Default for StackOptions {
    fn default() -> StackOptions {
        StackOptions { brokers: 1, kafka_heap: "512m".into(), partitions: 4, folder: None, ports: None }
    }
}

/// Where a stack listens on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ports {
    /// ZooKeeper's client port.
    pub zookeeper: u16,
    /// One port a broker.
    pub kafka: Vec<u16>,
    /// Redis.
    pub redis: u16,
}

impl Ports {
    /// Free ports for a stack of `brokers`.
    ///
    /// # Errors
    /// When none are free.
    pub fn free(brokers: usize) -> Result<Ports> {
        Ok(Ports {
            zookeeper: free_port()?,
            kafka: (0..brokers).map(|_| free_port()).collect::<Result<_>>()?,
            redis: free_port()?,
        })
    }
}

/// Running servers. They end when this is dropped, and when this process ends in any way.
///
/// Every method takes `&self`, so that one thread may kill what others are using.
#[derive(Debug)]
pub struct Stack {
    zookeeper: Server,
    brokers: Vec<Server>,
    redis: Server,
    // After the servers: dropped, and so removed, when they no longer write there.
    folder: Folder,
}

impl Stack {
    /// Starts everything and returns when every server answers its own protocol.
    ///
    /// # Errors
    /// When the jars or programs are missing (run scripts/setup), or a server does not answer in time; the
    /// error then holds the end of that server's log.
    pub fn start(options: StackOptions) -> Result<Stack> {
        let stack = Stack::describe(options, Lifetime::WithParent)?;
        stack.start_all()?;
        Ok(stack)
    }

    /// As [`Stack::start`], but the servers stay up when this process is gone: end them by the `pid` files in
    /// their folders. If one does not start, all are killed.
    ///
    /// # Errors
    /// As [`Stack::start`]; also without a folder that stays.
    pub fn start_detached(options: StackOptions) -> Result<Stack> {
        ensure!(options.folder.is_some(), "servers that stay up need a folder that stays");
        let stack = Stack::describe(options, Lifetime::Detached)?;
        stack.start_all()?;
        Ok(stack)
    }

    /// Lets servers started by [`Stack::start_detached`] live on.
    pub fn detach(self) {
        for server in self.servers() {
            server.detach();
        }
    }

    fn describe(options: StackOptions, lifetime: Lifetime) -> Result<Stack> {
        ensure!(options.brokers > 0, "a stack needs at least one broker");
        let ports = options.ports.clone().map_or_else(|| Ports::free(options.brokers), Ok)?;
        ensure!(ports.kafka.len() == options.brokers, "{} brokers need as many ports", options.brokers);
        let folder = Folder::new(options.folder.as_deref())?;
        let path = folder.path();
        let broker =
            |(index, &port)| kafka::broker(path, index + 1, port, ports.zookeeper, lifetime, &options);
        Ok(Stack {
            zookeeper: zookeeper::server(path, ports.zookeeper, lifetime)?,
            brokers: ports.kafka.iter().enumerate().map(broker).collect::<Result<_>>()?,
            redis: redis_server::server(path, ports.redis, lifetime)?,
            folder,
        })
    }

    fn start_all(&self) -> Result<()> {
        self.zookeeper.spawn()?;
        self.redis.spawn()?;
        self.zookeeper.ready(|| zookeeper::answers(self.zookeeper.port))?;
        self.start_kafka()?;
        self.redis.ready(|| redis_server::answers(self.redis.port))
    }

    /// Addresses of all brokers, as `--brokers` takes them.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.brokers.iter().map(|b| format!("127.0.0.1:{}", b.port)).collect();
        addresses.join(",")
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn redis_url(&self) -> String {
        redis_server::url(self.redis.port)
    }

    /// Port of Redis.
    pub fn redis_port(&self) -> u16 {
        self.redis.port
    }

    /// Port of ZooKeeper.
    pub fn zookeeper_port(&self) -> u16 {
        self.zookeeper.port
    }

    /// Folder of the stack; a test may keep its own files there, in folders of other names.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Log of the first broker.
    pub fn kafka_log(&self) -> PathBuf {
        self.brokers[0].log()
    }

    /// Process ids by server name (`zookeeper`, `kafka-1`, `redis`), of those that run.
    pub fn pids(&self) -> Vec<(String, u32)> {
        self.servers().filter_map(|server| Some((server.name.clone(), server.pid()?))).collect()
    }

    /// Kills every broker with SIGKILL.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill_kafka(&self) -> Result<()> {
        self.brokers.iter().try_for_each(Server::kill)
    }

    /// Kills one broker, counted from 0, with SIGKILL.
    ///
    /// # Errors
    /// When there is no such broker or the operating system refuses.
    pub fn kill_broker(&self, index: usize) -> Result<()> {
        match self.brokers.get(index) {
            Some(broker) => broker.kill(),
            None => bail!("no broker {index}: there are {}", self.brokers.len()),
        }
    }

    /// Asks every broker to end and waits for it.
    ///
    /// # Errors
    /// When one does not end within a minute.
    pub fn stop_kafka(&self) -> Result<()> {
        self.brokers.iter().try_for_each(Server::stop)
    }

    /// Starts the brokers that do not run, with the same ports and data, and returns when all are known to
    /// each other and every partition has a leader. After a kill this takes some 10 s: the killed broker's
    /// ZooKeeper session has to time out first.
    ///
    /// # Errors
    /// When one does not answer in time; with the end of its log.
    pub fn start_kafka(&self) -> Result<()> {
        for (index, broker) in self.brokers.iter().enumerate().filter(|(_, broker)| !broker.is_running()) {
            let what = format!("ZooKeeper to forget the killed {}", broker.name);
            wait_until(&what, UNREGISTERED_WITHIN, || {
                !zookeeper::knows_broker(self.zookeeper.port, index + 1)
            })?;
            broker.spawn()?;
        }
        let probe = client::probe(&self.bootstrap())?;
        for broker in &self.brokers {
            let held = kafka::partitions(broker);
            broker
                .ready(|| client::led(&probe, self.brokers.len()).is_some_and(|led| held.is_subset(&led)))?;
        }
        Ok(())
    }

    /// Kills Redis with SIGKILL.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill_redis(&self) -> Result<()> {
        self.redis.kill()
    }

    /// Asks Redis to end and waits for it.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub fn stop_redis(&self) -> Result<()> {
        self.redis.stop()
    }

    /// Starts Redis on the same port, with what it last saved or with nothing.
    ///
    /// # Errors
    /// When it runs already or does not answer in time.
    pub fn start_redis(&self, keep_data: bool) -> Result<()> {
        ensure!(!self.redis.is_running(), "Redis runs already: stop or kill it first");
        if !keep_data {
            redis_server::empty(&self.redis)?;
        }
        self.redis.spawn()?;
        self.redis.ready(|| redis_server::answers(self.redis.port))
    }

    /// A connection to Redis with deadlines on every exchange.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub fn redis(&self) -> Result<Connection> {
        redis_server::connect(self.redis.port)
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        // Kafka before ZooKeeper, which it needs to leave in order.
        self.brokers.iter().chain([&self.zookeeper, &self.redis])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for server in self.servers() {
            if let Err(error) = server.kill() {
                eprintln!("{error:#}");
            }
        }
    }
}

/// A folder that stays or one that goes.
#[derive(Debug)]
enum Folder {
    Kept(PathBuf),
    // None once it is to be kept after a panic.
    Temporary(Option<TempDir>),
}

impl Folder {
    fn new(kept: Option<&Path>) -> Result<Folder> {
        if let Some(path) = kept {
            fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
            // Servers run in folders of their own: their settings need absolute paths.
            let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
            return Ok(Folder::Kept(path));
        }
        // On the disk of the build, because the system's temporary folder may be memory.
        let stacks = crate::program::folder_of_programs()?.join("stacks");
        fs::create_dir_all(&stacks).with_context(|| format!("cannot make {}", stacks.display()))?;
        remove_left_over(&stacks);
        let temporary =
            tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempdir_in(&stacks);
        Ok(Folder::Temporary(Some(temporary.with_context(|| format!("cannot write {}", stacks.display()))?)))
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Temporary(folder) => folder.as_ref().expect("only drop takes it").path(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Folder::Temporary(folder) = self
            && let Some(folder) = folder.take()
            && std::thread::panicking()
        {
            eprintln!("servers' folder, kept until the next run: {}", folder.keep().display());
        }
    }
}

/// Removes the folders of processes that could not: they were killed, or a test of theirs failed.
fn remove_left_over(stacks: &Path) {
    for entry in fs::read_dir(stacks).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may be removing it too; whoever comes last finds nothing.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

//! Kafka, with ZooKeeper where it needs it, and Redis started together, each on ports and in a folder of its own.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

use crate::Proxy;
use crate::client;
use crate::ports::free_port;
use crate::process::Lifetime;
use crate::redis_servers::{RedisLayout, RedisServers};
use crate::secure::Secured;
use crate::servers::kafka::{Agreement, KafkaVersion, Outside};
use crate::servers::{Server, kafka, kraft, zookeeper};
use crate::wait_until;

/// Longer than a broker's ZooKeeper session, after which its registration is gone.
const UNREGISTERED_WITHIN: Duration = Duration::from_secs(30);
const DELETION: Duration = Duration::from_secs(120);

/// What to start, and where. The default is what a test wants: one broker, free ports, a temporary folder.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Kafka with ZooKeeper or without.
    pub kafka: KafkaVersion,
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
    /// How Redis is run.
    pub redis: RedisLayout,
    /// Kafka and Redis also listen where TLS and a login are wanted, of a user with these rights in Redis, as in a
    /// rule of its ACL. For one broker with ZooKeeper and one Redis.
    pub secured: Option<&'static str>,
    /// Before each broker is a [`Proxy`] for the programs under test. With ZooKeeper.
    pub proxied: bool,
}

impl Default for StackOptions {
    fn default() -> StackOptions {
        StackOptions {
            kafka: KafkaVersion::default(),
            brokers: 1,
            kafka_heap: "512m".into(),
            partitions: 4,
            folder: None,
            ports: None,
            redis: RedisLayout::Alone,
            secured: None,
            proxied: false,
        }
    }
}

/// Where a stack listens on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ports {
    /// ZooKeeper's client port; left free by a Kafka without it.
    pub zookeeper: u16,
    /// One port a broker.
    pub kafka: Vec<u16>,
    /// Redis; the others of its layout take free ones.
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
    zookeeper: Option<Server>,
    brokers: Vec<Server>,
    /// One a broker, or none.
    proxies: Vec<Proxy>,
    pub(crate) redis: RedisServers,
    secured: Option<Secured>,
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
        let can_be_secured = options.brokers == 1 && options.kafka == KafkaVersion::ZooKeeper39;
        ensure!(options.secured.is_none() || can_be_secured, "only one broker with ZooKeeper can be secured");
        let secured = options.secured.map(|rights| Secured::make(path, rights)).transpose()?;
        let (zookeeper, agreement) = match options.kafka {
            KafkaVersion::ZooKeeper39 => {
                let zookeeper = zookeeper::server(path, ports.zookeeper, lifetime)?;
                (Some(zookeeper), Agreement::ZooKeeper(ports.zookeeper))
            }
            KafkaVersion::KRaft4 => (None, Agreement::Controllers(kraft::controllers(options.brokers)?)),
        };
        ensure!(!options.proxied || zookeeper.is_some(), "proxies are for brokers with ZooKeeper");
        let inner = (0..options.brokers).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let proxied = inner.iter().filter(|_| options.proxied);
        let proxies = proxied.map(|&port| Proxy::start(port)).collect::<Result<Vec<_>>>()?;
        let broker = |(index, &port): (usize, &u16)| {
            let outside = match (&secured, proxies.get(index)) {
                (Some(secured), _) => Outside::Secured(secured),
                (None, Some(proxy)) => Outside::Proxied(proxy, inner[index]),
                (None, None) => Outside::Plain,
            };
            kafka::broker(path, index + 1, port, &agreement, lifetime, &options, outside)
        };
        Ok(Stack {
            zookeeper,
            brokers: ports.kafka.iter().enumerate().map(broker).collect::<Result<_>>()?,
            redis: RedisServers::describe(options.redis, path, ports.redis, lifetime, secured.as_ref())?,
            proxies,
            secured,
            folder,
        })
    }

    fn start_all(&self) -> Result<()> {
        self.redis.spawn()?;
        self.start_zookeeper()?;
        self.start_kafka()?;
        if let Some(secured) = &self.secured {
            secured.make_user(&self.bootstrap())?;
        }
        self.redis.ready()
    }

    /// How to reach secured servers, where there are.
    pub fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// Addresses of all brokers, as `--brokers` takes them.
    pub fn bootstrap(&self) -> String {
        addresses(self.brokers.iter().map(|broker| broker.port))
    }

    /// The proxies before the brokers, where there are, in the same order.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// Addresses of all brokers behind their proxies, as `--brokers` takes them.
    pub fn proxied_bootstrap(&self) -> String {
        addresses(self.proxies.iter().map(Proxy::port))
    }

    /// Port of ZooKeeper, where there is.
    pub fn zookeeper_port(&self) -> Option<u16> {
        self.zookeeper.as_ref().map(|zookeeper| zookeeper.port)
    }

    /// Folder of the stack; a test may keep its own files there, in folders of other names.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Log of the first broker.
    pub fn kafka_log(&self) -> PathBuf {
        self.brokers[0].log()
    }

    /// Waits until no broker is busy any more with the files of topics that were deleted.
    ///
    /// # Errors
    /// When one still is after two minutes.
    pub fn await_deletions(&self) -> Result<()> {
        wait_until("the files of deleted topics to be gone", DELETION, || {
            !self.brokers.iter().any(kafka::deletes)
        })
    }

    /// Process ids by server name (`zookeeper`, `kafka-1`, `redis`, `redis-2`, `sentinel-1`), of those that run.
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

    /// Stops the time of every broker with SIGSTOP.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn freeze_kafka(&self) -> Result<()> {
        self.brokers.iter().try_for_each(|broker| broker.signal(Signal::STOP))
    }

    /// Lets every frozen broker go on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn resume_kafka(&self) -> Result<()> {
        self.brokers.iter().try_for_each(|broker| broker.signal(Signal::CONT))
    }

    /// Kills one broker, counted from 0, with SIGKILL.
    ///
    /// # Errors
    /// When there is no such broker or the operating system refuses.
    pub fn kill_broker(&self, index: usize) -> Result<()> {
        self.broker(index)?.kill()
    }

    /// Asks one broker, counted from 0, to end, and waits for it: it hands its partitions over first.
    ///
    /// # Errors
    /// When there is no such broker or it does not end within a minute.
    pub fn stop_broker(&self, index: usize) -> Result<()> {
        self.broker(index)?.stop()
    }

    /// The broker, counted from 0, that is the controller.
    ///
    /// # Errors
    /// When there is none within half a minute. Without ZooKeeper.
    pub fn controller(&self) -> Result<usize> {
        let zookeeper = self.zookeeper.as_ref().context("no ZooKeeper to ask")?;
        let id = wait_until("a controller", UNREGISTERED_WITHIN, || zookeeper::controller(zookeeper.port))?;
        Ok(id - 1)
    }

    fn broker(&self, index: usize) -> Result<&Server> {
        self.brokers
            .get(index)
            .with_context(|| format!("no broker {index}: there are {}", self.brokers.len()))
    }

    /// Kills ZooKeeper with SIGKILL.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill_zookeeper(&self) -> Result<()> {
        self.zookeeper.as_ref().map_or(Ok(()), Server::kill)
    }

    /// Starts ZooKeeper with what it knew, if it does not run.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_zookeeper(&self) -> Result<()> {
        let Some(zookeeper) = &self.zookeeper else { return Ok(()) };
        zookeeper.spawn()?;
        zookeeper.ready(|| zookeeper::answers(zookeeper.port))
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
    /// session has to time out first, with ZooKeeper or, which the broker itself waits for, with the controllers.
    ///
    /// # Errors
    /// When one does not answer in time; with the end of its log.
    pub fn start_kafka(&self) -> Result<()> {
        for (index, broker) in self.brokers.iter().enumerate().filter(|(_, broker)| !broker.is_running()) {
            match &self.zookeeper {
                Some(zookeeper) => {
                    let what = format!("ZooKeeper to forget the killed {}", broker.name);
                    wait_until(&what, UNREGISTERED_WITHIN, || {
                        !zookeeper::knows_broker(zookeeper.port, index + 1)
                    })?;
                }
                None => kraft::format(broker)?,
            }
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

    fn servers(&self) -> impl Iterator<Item = &Server> {
        // Kafka before ZooKeeper, which it needs to leave in order.
        self.brokers.iter().chain(&self.zookeeper).chain(self.redis.all())
    }
}

/// Ports of this machine, as the programs' flags take several addresses.
pub(crate) fn addresses(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
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

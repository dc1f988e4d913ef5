//! Servers that stay up to play with: `up` and `down`.

use anyhow::{Context, Result, ensure};
use harness::ports::free_port_from;
use harness::{Ports, Signal, Stack, StackOptions, checkout, send_signal, wait_until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The topics of `up` and of the demo.
const PARTITIONS: usize = 4;

/// A server that is asked to end.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// Where the servers keep their data.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// Folder of the servers' data, logs and process ids [default: .servers/run of the checkout]
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Starts ZooKeeper, Kafka and Redis on their usual ports or the next free ones; with all
/// three up already, only says where they are.
pub(crate) fn up(place: &Place) -> Result<()> {
    let folder = folder(place)?;
    let _lock = lock(&folder)?;
    let ports_file = folder.join("ports.json");
    let (running, before) = (running(&folder)?, read_ports(&ports_file));
    if running.len() == 3 {
        let ports = before.context("cannot read the ports: run `make down` and `make up`")?;
        println!("the servers are up already\n{}", guide(&ports));
        return Ok(());
    }
    let mut from = Ports { zookeeper: 2181, kafka: vec![9092], redis: 6379 };
    if !running.is_empty() {
        let names: Vec<&str> = running.iter().map(|(name, _)| name.as_str()).collect();
        println!(
            "of the three servers only these are up: {}. Starting all of them again, with their data",
            names.join(", ")
        );
        end_all(&folder)?;
        // Who uses them goes on by itself if they come back where they were.
        from = before.unwrap_or(from);
    }
    let ports = Ports {
        zookeeper: free_port_from(from.zookeeper)?,
        kafka: vec![free_port_from(from.kafka[0])?],
        redis: free_port_from(from.redis)?,
    };
    fs::write(&ports_file, serde_json::to_string(&ports)?).context("cannot write the ports")?;
    for (server, usual, port) in [("Kafka", 9092, ports.kafka[0]), ("Redis", 6379, ports.redis)] {
        if port != usual {
            println!("{server} is on port {port}, not on {usual}: name it to the programs, as below");
        }
    }
    println!("starting ZooKeeper, Kafka and Redis in {}", folder.display());
    let stack = Stack::start_detached(StackOptions {
        kafka_heap: "1g".into(),
        partitions: PARTITIONS,
        folder: Some(folder),
        ports: Some(ports.clone()),
        ..StackOptions::default()
    })?;
    create_topics(&stack)?;
    stack.detach();
    println!("{}", guide(&ports));
    Ok(())
}

fn read_ports(file: &Path) -> Result<Ports> {
    let ports: Ports = serde_json::from_str(&fs::read_to_string(file)?)?;
    ensure!(ports.kafka.len() == 1, "one broker's port is wanted");
    Ok(ports)
}

/// Stops what `up` started, and nothing else.
pub(crate) fn down(place: &Place) -> Result<()> {
    let folder = folder(place)?;
    let _lock = lock(&folder)?;
    let ended = end_all(&folder)?;
    match ended.is_empty() {
        true => println!("nothing was up"),
        false => println!("stopped {}; their data stays in {}", ended.join(", "), folder.display()),
    }
    Ok(())
}

/// The topic of the events and that of the rejected ones.
pub(crate) fn create_topics(stack: &Stack) -> Result<()> {
    stack.create_topic("logs", PARTITIONS)?;
    stack.create_topic("logs.rejected", 1)
}

/// Where the servers listen, for people.
pub(crate) fn addresses(bootstrap: &str, redis_url: &str, zookeeper: Option<u16>) -> String {
    let zookeeper = zookeeper.map(|port| format!("\nZooKeeper  127.0.0.1:{port}")).unwrap_or_default();
    format!("Kafka      {bootstrap}\nRedis      {redis_url}{zookeeper}")
}

/// The addresses and what to try.
fn guide(ports: &Ports) -> String {
    let brokers = ports.kafka.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let redis = ports.redis;
    let redis_url = format!("redis://127.0.0.1:{redis}");
    format!(
        "{}\n\
         try, each in a terminal of its own:\n  \
         target/release/consumer --brokers {brokers} --redis-url {redis_url} --file logs.txt\n  \
         target/release/producer --brokers {brokers} --rate 1k\n  \
         redis-cli -p {redis} LRANGE logs:recent 0 4\n  \
         tail -f logs.txt",
        addresses(&brokers, &redis_url, Some(ports.zookeeper))
    )
}

fn folder(place: &Place) -> Result<PathBuf> {
    let folder = place.folder.clone().unwrap_or_else(|| checkout().join(".servers/run"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))
}

/// One `up` or `down` at a time.
fn lock(folder: &Path) -> Result<File> {
    let file =
        File::create(folder.join("lock")).with_context(|| format!("cannot write {}", folder.display()))?;
    file.lock().context("cannot lock the servers' folder")?;
    Ok(file)
}

/// Name and pid of each server that runs, Kafka first: it needs ZooKeeper to leave in order.
fn running(folder: &Path) -> Result<Vec<(String, u32)>> {
    let mut running = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let server = entry?.path();
        let Ok(text) = fs::read_to_string(server.join("pid")) else {
            continue;
        };
        let name = server.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid: u32 = text.trim().parse().with_context(|| format!("no pid in {}/pid", server.display()))?;
        if lives_in(pid, &server) {
            running.push((name, pid));
        }
    }
    running.sort_by_key(|(name, _)| (!name.starts_with("kafka"), name.clone()));
    Ok(running)
}

/// True if `pid` is still the server of that folder: a server's working folder lies in its own, that of a
/// stranger who was given the same pid later does not.
fn lives_in(pid: u32, server: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(server))
}

/// Asks each to end, waits for it, and gives their names.
fn end_all(folder: &Path) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for (name, pid) in running(folder)? {
        let server = folder.join(&name);
        send_signal(pid, Signal::TERM).with_context(|| format!("cannot stop {name}"))?;
        wait_until(&format!("{name} ({pid}) to end"), ENDED_WITHIN, || !lives_in(pid, &server))?;
        fs::remove_file(server.join("pid")).with_context(|| format!("cannot remove the pid of {name}"))?;
        ended.push(name);
    }
    Ok(ended)
}

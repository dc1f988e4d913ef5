//! What a broker that is a controller, too, has in the place of ZooKeeper.

use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;

use super::Server;
use crate::KafkaVersion;
use crate::ports::free_port;
use crate::process::{self, Lifetime, Process};

/// Any, but the same for all brokers: 16 bytes in base64.
const CLUSTER_ID: &str = "SluiceHarnessClusterAA";
/// Until Kafka's own tool has made the storage: it is a Java program.
const FORMATTED_WITHIN: Duration = Duration::from_secs(60);
/// Where the controllers keep what they agree on, beside the partitions' folders.
pub(crate) const METADATA_FOLDER: &str = "__cluster_metadata-0";

/// The brokers' ports as controllers, in their order.
pub(crate) fn controllers(brokers: usize) -> Result<Vec<u16>> {
    (0..brokers).map(|_| free_port()).collect()
}

/// Settings of broker `id` (from 1) of those that are controllers on these ports, with the listener that it has for
/// clients.
///
/// Sessions and heartbeats of groups with `group.protocol=consumer` are the broker's to say: as short as the tests have
/// them for other groups.
pub(crate) fn settings(id: usize, controllers: &[u16], listener: &str) -> String {
    let voters: Vec<String> =
        (1..).zip(controllers).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={voters}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         listeners={listener},CONTROLLER://127.0.0.1:{port}\n\
         advertised.listeners={listener}\n\
         broker.session.timeout.ms=6000\n\
         group.consumer.min.session.timeout.ms=1000\n\
         group.consumer.session.timeout.ms=3000\n\
         group.consumer.min.heartbeat.interval.ms=100\n\
         group.consumer.heartbeat.interval.ms=500\n",
        voters = voters.join(","),
        port = controllers[id - 1],
    )
}

/// Makes a broker's storage, unless it is there.
pub(crate) fn format(broker: &Server) -> Result<()> {
    if broker.data().join("meta.properties").exists() {
        return Ok(());
    }
    let mut command = process::command("java", Lifetime::WithParent);
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(format!("{}/*", KafkaVersion::KRaft4.jars().display()));
    command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties"]);
    command.current_dir(&broker.folder);
    command.stdout(process::output(&broker.log())?).stderr(process::output(&broker.log())?);
    let status = Process::start("Kafka's storage tool", command)?.wait(FORMATTED_WITHIN)?;
    let log = || fs::read_to_string(broker.log()).unwrap_or_default();
    ensure!(status.success(), "the storage of {} was not made: {}", broker.name, log());
    Ok(())
}

"""What the README says of docker-compose.ha.yml, one line a step: one of each kind is killed. See stack.py."""

import json
import re
import time

from stack import (
    DATA,
    PROJECT,
    Failed,
    caught_up,
    compose,
    consumers,
    containers,
    docker,
    each_once,
    expect,
    expect_clean_exit,
    expect_confined,
    get,
    healthy,
    in_broker,
    inspect,
    play,
    stop_cleanly,
    until,
    verify,
)

LOGS = DATA / "logs.txt"
CHECKPOINT = DATA / "logs.txt.checkpoint"
ZOOKEEPERS = ("zookeeper-1", "zookeeper-2", "zookeeper-3")
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
REDISES = ("redis-1", "redis-2")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
SERVICES = (*ZOOKEEPERS, *BROKERS, *REDISES, *SENTINELS, "consumer")
PARTITIONS = range(4)
# Its report says what was acknowledged from before the first fault until after the last.
LOAD = f"{PROJECT}-load"
# Events of each partition by which they flow again: more than were under way.
FLOWING = 200


def kill(service):
    (container,) = containers(service)
    docker("kill", "--signal", "KILL", container)
    return container, time.monotonic()


def redis(service, *words):
    """What redis-cli prints in a server's container."""
    (container,) = containers(service)
    return docker("exec", container, "redis-cli", *words).strip()


def replication(service):
    """Fields of INFO; none while the server is away."""
    if not containers(service):
        return {}
    try:
        return dict(line.split(":", 1) for line in redis(service, "info", "replication").split() if ":" in line)
    except Failed:
        return {}


def master():
    """The Redis that all who can vote take for the master, if it does so itself."""
    said = {redis(sentinel, "-p", "26379", "sentinel", "get-master-addr-by-name", "sluice").split("\n")[0]
            for sentinel in SENTINELS}  # fmt: skip
    (name,) = said if len(said) == 1 else (None,)
    return name if name in REDISES and replication(name).get("role") == "master" else None


def in_redis(service):
    """The next offset of each partition, as a server has it."""
    positions = redis(service, "mget", *(f"logs:position:logs:{n}" for n in PARTITIONS)).split("\n")
    return [int(re.match(r"\d*", position).group() or 0) for position in positions]


def in_file():
    """The next offset of each partition, as the checkpoint has it."""
    records = [line.split(" ", 1)[1] for line in CHECKPOINT.read_text().splitlines() if " {" in line]
    newest = max(map(json.loads, records), key=lambda record: record["generation"])
    return [newest["partitions"].get(str(n), {}).get("next", 0) for n in PARTITIONS]


def events_flow(since):
    """Waits until events of every partition have come into the file and Redis; how long that took."""
    name = until("the Sentinels agree on a master", master, 60)

    def look():
        return in_file() + in_redis(name)

    before = look()
    until("events of every partition flow into the file and Redis",
          lambda: all(now > was + FLOWING for was, now in zip(before, look(), strict=True)), 60)  # fmt: skip
    return time.monotonic() - since


def topics():
    return in_broker("kafka-topics", "--describe", "--exclude-internal")


def replicas_in_sync():
    described = topics()
    replicas = re.findall(r"Isr: ([\d,]+)", described)
    return len(replicas) == len(PARTITIONS) + 1 and all(len(one.split(",")) == 3 for one in replicas)


# --- the steps ---


def stack_starts():
    compose("up", "--detach", "--no-build")
    until("every service is healthy", lambda: healthy(*SERVICES), 240)
    until("three replicas of each partition are in sync", replicas_in_sync, 60)
    acknowledged_by = re.findall(r"min\.insync\.replicas=(\d+)", topics())
    # Without that no single death would show it: what is acknowledged could be on one broker only.
    expect(acknowledged_by == ["2", "2"], f"brokers that acknowledge, of logs and logs.rejected: {acknowledged_by}")
    until("one of three consumers is active", lambda: len(consumers("active")) == 1, 60)
    until("two of three stand by", lambda: len(consumers("standby")) == 2, 60)
    compose("run", "--detach", "--name", LOAD, "producer", "--rate", "1k", "--report", "/data/load.json")
    events_flow(time.monotonic())
    return "ZooKeeper, Kafka and Sentinel times three, two Redis, three consumers: all healthy, events flow"


def all_are_confined():
    return expect_confined(*SERVICES, "producer")


def zookeeper_dies():
    container, killed = kill("zookeeper-1")
    seconds = events_flow(killed)
    docker("start", container)
    return f"kill -9 of a ZooKeeper: events flow in every partition after {seconds:.1f} s"


def broker_dies():
    container, killed = kill("kafka-1")
    seconds = events_flow(killed)
    docker("start", container)
    return f"kill -9 of a broker: events flow in every partition after {seconds:.1f} s"


def redis_dies():
    old = master()
    container, killed = kill(old)
    until("the other Redis is the master", lambda: master() not in (None, old), 60)
    promoted = time.monotonic() - killed
    seconds = events_flow(killed)
    (active,) = consumers("active")
    until("the consumer is not degraded any more", lambda: get(active, "/readyz") == (200, "active\n"), 30)
    docker("start", container)
    until("the old master follows the new one", lambda: replication(old).get("master_link_status") == "up", 90)
    return f"kill -9 of Redis' master: the other one after {promoted:.1f} s, events flow after {seconds:.1f} s"


def consumer_dies():
    (active,) = consumers("active")
    docker("kill", "--signal", "KILL", active)
    killed = time.monotonic()
    until("another consumer is active", lambda: consumers("active"), 60)
    seconds = events_flow(killed)
    docker("start", active)
    until("two stand by again", lambda: len(consumers("standby")) == 2, 60)
    return f"kill -9 of the active consumer: events flow after {seconds:.1f} s"


def all_are_back():
    until("every service is healthy", lambda: healthy(*SERVICES), 120)
    until("the broker's replicas are in sync again", replicas_in_sync, 60)
    return "what was killed is healthy again, the broker's replicas are in sync"


def nothing_lost_or_doubled():
    docker("stop", "--time", "30", LOAD)
    code = inspect(LOAD)["State"]["ExitCode"]
    expect(code == 0, f"the producer exited {code}: {docker('logs', '--tail', '20', LOAD)}")
    docker("rm", LOAD)
    acknowledged = json.loads((DATA / "load.json").read_text())["acknowledged"]
    compose("stop", "producer")
    expect_clean_exit("producer")
    until("the consumer is caught up", caught_up, 60)
    verify("logs.txt", reports=("load.json",))
    found = each_once(LOGS)
    for service in REDISES:
        counted = sum(map(int, redis(service, "hvals", "logs:levels").split()))
        expect(counted == len(found), f"{service} counted {counted} events, the file has {len(found)}")
    return (f"verify: nothing lost, nothing doubled in {len(found)} events, {acknowledged} of them acknowledged to one "
            "producer from first to last; both Redis counted as many")  # fmt: skip


STEPS = [
    stack_starts,
    all_are_confined,
    zookeeper_dies,
    broker_dies,
    redis_dies,
    consumer_dies,
    all_are_back,
    nothing_lost_or_doubled,
    stop_cleanly,
]

if __name__ == "__main__":
    play(STEPS)

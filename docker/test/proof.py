"""What the README says of docker-compose.yml, one line a step. See stack.py."""

import json
import os
import subprocess
import time

from stack import (
    COMPOSE,
    DATA,
    arrived,
    caught_up,
    compose,
    consumers,
    containers,
    docker,
    each_once,
    events,
    expect,
    expect_clean_exit,
    expect_confined,
    get,
    group,
    healthy,
    in_broker,
    play,
    redis,
    send,
    stop_cleanly,
    until,
    verify,
)

LOGS = DATA / "logs.txt"
BY_PARTITION = "/data/logs-{partition}.txt"


def stack_starts():
    compose("up", "--detach", "--no-build")
    services = ("zookeeper", "kafka", "redis", "consumer")
    until("ZooKeeper, Kafka, Redis and the consumer are healthy", lambda: healthy(*services), 180)
    expect(containers("producer"), "the producer is not running")
    return "ZooKeeper, Kafka, Redis and consumer healthy, producer running"


def topics_are_there():
    described = in_broker("kafka-topics", "--describe")
    about = {line.split("\t")[0]: line for line in described.splitlines() if "PartitionCount" in line}
    expect("PartitionCount: 4" in about.get("Topic: logs", ""), f"topic logs:\n{described}")
    rejected = about.get("Topic: logs.rejected", "")
    expect("max.message.bytes=2097152" in rejected, f"topic logs.rejected:\n{described}")
    compose("up", "--detach", "--no-build", "topics")
    return "logs with 4 partitions, logs.rejected for larger messages; created again without harm"


def file_grows():
    size = until("data/logs.txt has lines", lambda: LOGS.exists() and LOGS.stat().st_size, 60)
    until("data/logs.txt grows", lambda: LOGS.stat().st_size > size, 10)
    count = sum(1 for _ in events(LOGS))
    return f"data/logs.txt on the host grows, {count} lines so far, every one JSON"


def redis_answers():
    count = until("logs:recent has events", lambda: redis("LLEN", "logs:recent"), 30)
    newest = json.loads(redis("LRANGE", "logs:recent", "0", "0")[0])
    expect("message" in newest, f"newest of logs:recent: {newest}")
    return f"127.0.0.1:{os.environ['REDIS_PORT']} answers: {count} in logs:recent, newest {newest['message'][:40]!r}"


def all_are_confined():
    for service in ("consumer", "producer"):
        for container in containers(service):
            # As it is inside, whatever was asked for.
            status = docker("exec", container, "cat", "/proc/self/status")
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            expect(fields["Uid"].split()[0] == "1000", f"{service} runs as user {fields['Uid']}")
            expect(int(fields["CapEff"], 16) == 0, f"{service} has capabilities {fields['CapEff']}")
            expect(int(fields["CapBnd"], 16) == 0, f"{service} can gain capabilities {fields['CapBnd']}")
            expect(fields["NoNewPrivs"] == "1", f"{service} can gain privileges")
            write = subprocess.run(["docker", "exec", "--user", "0", container, "touch", "/usr/bin/x"], capture_output=True)
            expect(write.returncode != 0, f"{service} has a writable root file system")
    return "programs: user 1000; all: " + expect_confined("zookeeper", "kafka", "redis", "consumer", "producer")


def producer_sends_more():
    report = send("more.json", "--rate", "1k", "--count", "2000")
    expect(report["acknowledged"] == 2000, f"acknowledged {report['acknowledged']} of 2000")
    until("its 2000 events are in the file", lambda: arrived(report, LOGS) == 2000, 30)
    return "compose run producer --rate 1k --count 2000: exactly 2000 more in the file"


def others_stand_by():
    compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "consumer=3")
    until("three consumers are alive", lambda: [get(c, "/healthz")[0] for c in containers("consumer")] == [200] * 3, 60)
    until("one of three is active", lambda: len(consumers("active")) == 1, 30)
    waiting = until("two of three stand by", lambda: len(found := consumers("standby")) == 2 and found, 30)
    said = [subprocess.run(["docker", "logs", one], capture_output=True, text=True) for one in waiting]
    for one in said:
        expect("standing by" in one.stdout + one.stderr, f"a standby does not say so:\n{one.stdout}{one.stderr}")
    members = group("--members")
    expect(len(members) == 1, f"a standby joined the group: {members}")
    return "--scale consumer=3: one writes logs.txt, two stand by and say so"


def standby_takes_over():
    sending = subprocess.Popen(
        [*COMPOSE, "run", "--rm", "-T", "producer", "--rate", "1k", "--duration", "20s", "--report", "/data/over.json"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    (active,) = consumers("active")
    size = LOGS.stat().st_size
    until("events flow", lambda: LOGS.stat().st_size > size, 20)
    docker("kill", "--signal", "KILL", active)
    killed = time.monotonic()
    until("another consumer is active", lambda: consumers("active"), 60)
    size = LOGS.stat().st_size
    until("another consumer writes", lambda: LOGS.stat().st_size > size, 60)
    seconds = time.monotonic() - killed
    _, errors = sending.communicate(timeout=120)
    expect(sending.returncode == 0, f"the producer failed: {errors}")
    report = json.loads((DATA / "over.json").read_text())
    until("all of them arrived", lambda: arrived(report, LOGS) == report["acknowledged"], 60)
    return f"kill -9 of the active one: another writes after {seconds:.1f} s"


def nothing_lost_or_doubled():
    compose("stop", "producer")
    expect_clean_exit("producer")
    until("the consumer is caught up", caught_up, 60)
    verify("logs.txt", reports=("more.json", "over.json"))
    in_file = each_once(LOGS)
    recent = [json.loads(one) for one in redis("LRANGE", "logs:recent", "0", "99")]
    missing = [one for one in recent if (one.get("producer"), one.get("seq")) not in in_file]
    expect(not missing, f"in Redis and not in the file: {missing[:3]}")
    return f"verify: nothing lost, nothing doubled in {sum(in_file.values())} events; Redis agrees"


def volumes_keep_everything():
    before = LOGS.stat().st_size
    compose("down", "--timeout", "30")
    compose("up", "--detach", "--no-build")
    until("data/logs.txt grows again", lambda: LOGS.stat().st_size > before, 120)
    compose("stop", "producer")
    until("the consumer is caught up", caught_up, 60)
    verify("logs.txt", reports=("more.json", "over.json"))
    return "down and up again: topics, positions and Redis are still there, verify clean"


def three_at_once():
    by_partition = {"CONSUMER_FILE": BY_PARTITION}
    compose("up", "--detach", "--no-build", "--scale", "consumer=3", env=by_partition)
    until("three consumers are active", lambda: len(consumers("active")) == 3, 90)
    until("each has partitions", lambda: [row["#PARTITIONS"] > "0" for row in group("--members")] == [True] * 3, 90)
    report = send("three.json", "--rate", "1k", "--count", "4000")
    expect(report["acknowledged"] == 4000, f"acknowledged {report['acknowledged']} of 4000")

    def files():
        return sorted(DATA.glob("logs-*.txt"))

    until("all 4000 are in the files", lambda: arrived(report, *files()) == 4000, 60)
    compose("stop", "producer")
    until("the consumers are caught up", caught_up, 60)
    each_once(*files())
    verify(*(file.name for file in files()), reports=("three.json",))
    return f"logs-{{partition}}.txt: three consumers active, {len(files())} files, verify clean"


def stops_cleanly():
    said = stop_cleanly()
    expect(LOGS.stat().st_size > 0, "data/logs.txt went with the stack")
    return said


STEPS = [
    stack_starts,
    topics_are_there,
    file_grows,
    redis_answers,
    all_are_confined,
    producer_sends_more,
    others_stand_by,
    standby_takes_over,
    nothing_lost_or_doubled,
    volumes_keep_everything,
    three_at_once,
    stops_cleanly,
]

if __name__ == "__main__":
    play(STEPS)

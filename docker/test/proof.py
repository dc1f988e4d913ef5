"""The steps of test-compose: starts the stack with Compose and looks at it from outside, one line a step.

Environment: COMPOSE (the command), COMPOSE_PROJECT_NAME, DATA_FOLDER, REDIS_PORT, and what docker-compose.yml reads.
Standard library only.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

REPO = Path(sys.argv[1])
PROJECT = os.environ["COMPOSE_PROJECT_NAME"]
DATA = Path(os.environ["DATA_FOLDER"])
COMPOSE = [
    *os.environ["COMPOSE"].split(),
    "--project-directory", str(REPO), "--file", str(REPO / "docker-compose.yml"),
]  # fmt: skip


class Failed(Exception):
    """What was expected and what was there instead."""


def run(*command, env=None):
    """Output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Failed(f"`{' '.join(command[:6])} …` exited {done.returncode}:\n{tail}")
    return done.stdout


def compose(*arguments, env=None):
    return run(*COMPOSE, *arguments, env=env)


def docker(*arguments):
    return run("docker", *arguments)


def inspect(container):
    return json.loads(docker("inspect", container))[0]


def containers(service):
    """Running containers of a service, without those of `compose run`."""
    labels = (f"project={PROJECT}", f"service={service}", "oneoff=False")
    filters = [part for label in labels for part in ("--filter", f"label=com.docker.compose.{label}")]
    return docker("ps", "--quiet", *filters).split()


def expect(condition, otherwise):
    if not condition:
        raise Failed(otherwise)


def until(what, condition, seconds):
    """The first true value of `condition()`, polled until a deadline."""
    ticks, deadline = threading.Event(), time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        ticks.wait(0.25)


# --- what can be seen from outside ---


def redis(*words):
    """One Redis command over the published port."""

    def reply(stream):
        line = stream.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"*":
            return [reply(stream) for _ in range(int(rest))]
        if kind == b"$":
            return stream.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        expect(kind in (b"+", b":"), f"redis: {' '.join(words)}: {line!r}")
        return int(rest) if kind == b":" else rest

    with socket.create_connection(("127.0.0.1", int(os.environ["REDIS_PORT"])), timeout=10) as connection:
        parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
        connection.sendall("".join(parts).encode())
        with connection.makefile("rb") as stream:
            return reply(stream)


def events(*files):
    """Events of whole lines; a line that is not a JSON object with a level and a message fails the test."""
    for file in files:
        for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
            try:
                event = json.loads(line)
                event["level"], event["message"]
            except (ValueError, KeyError, TypeError) as error:
                raise Failed(f"{file.name}:{number}: {error!r}: {line[:120]!r}") from error
            yield event


def identities(*files):
    """How often each (producer, seq) is in the files."""
    return Counter((event.get("producer"), event.get("seq")) for event in events(*files))


def get(container, path):
    """Status and body of a page on a consumer's published metrics port."""
    address = docker("port", container, "9600").splitlines()[0]
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def consumers(state):
    """Consumers whose /readyz says they are `active` or `standby`."""
    answers = {container: get(container, "/readyz") for container in containers("consumer")}
    return [container for container, (status, said) in answers.items() if status == 200 and said.startswith(state)]


def group(*what):
    """Rows of kafka-consumer-groups for the consumers' group, by the names in its heading."""
    broker = containers("kafka")[0]
    command = ["kafka-consumer-groups", "--bootstrap-server", "kafka:29092", "--describe", "--group", "sluice", *what]
    # The broker's own heap would not fit a second time into its memory limit.
    output = docker("exec", "--env", "KAFKA_HEAP_OPTS=-Xmx64m", broker, *command)
    lines = [line.split() for line in output.splitlines()]
    heading = next((words for words in lines if words[:1] == ["GROUP"]), [])
    return [dict(zip(heading, words, strict=True)) for words in lines if words[:1] == ["sluice"]]


def caught_up():
    """No partition has an event that the consumers have not committed."""
    rows = group("--offsets")
    return rows and all(row["LAG"] in ("0", "-") for row in rows)


def verify(*files, reports=()):
    """`consumer verify` in a container; raises unless it finds nothing lost and nothing doubled."""
    arguments = [f"/data/{file}" for file in files]
    for report in reports:
        arguments += ["--report", f"/data/{report}"]
    return compose("run", "--rm", "--no-deps", "-T", "consumer", "verify", *arguments)


def send(report, *flags):
    """Runs a second producer to its end; its report."""
    compose("run", "--rm", "-T", "producer", *flags, "--report", f"/data/{report}")
    return json.loads((DATA / report).read_text())


def arrived(report, *files):
    """How many different events of a reported producer are in the files."""
    return sum(1 for producer, _ in identities(*files) if producer == report["producer"])


# --- the steps ---

LOGS = DATA / "logs.txt"
BY_PARTITION = "/data/logs-{partition}.txt"


def stack_starts():
    compose("up", "--detach", "--no-build")

    def healthy():
        states = {service: containers(service) for service in ("zookeeper", "kafka", "redis", "consumer")}
        return all(
            found and all(inspect(one)["State"]["Health"]["Status"] == "healthy" for one in found)
            for found in states.values()
        )

    until("ZooKeeper, Kafka, Redis and the consumer are healthy", healthy, 180)
    expect(containers("producer"), "the producer is not running")
    return "ZooKeeper, Kafka, Redis and consumer healthy, producer running"


def topics_are_there():
    described = docker("exec", "--env", "KAFKA_HEAP_OPTS=-Xmx64m", containers("kafka")[0],
                       "kafka-topics", "--bootstrap-server", "kafka:29092", "--describe")  # fmt: skip
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


def programs_are_confined():
    for service in ("consumer", "producer"):
        for container in containers(service):
            status = docker("exec", container, "cat", "/proc/self/status")
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            expect(fields["Uid"].split()[0] == "1000", f"{service} runs as user {fields['Uid']}")
            expect(int(fields["CapEff"], 16) == 0, f"{service} has capabilities {fields['CapEff']}")
            expect(int(fields["CapBnd"], 16) == 0, f"{service} can gain capabilities {fields['CapBnd']}")
            expect(fields["NoNewPrivs"] == "1", f"{service} can gain privileges")
            write = subprocess.run(["docker", "exec", "--user", "0", container, "touch", "/usr/bin/x"], capture_output=True)
            expect(write.returncode != 0, f"{service} has a writable root file system")
    for service in ("zookeeper", "kafka", "redis", "consumer", "producer"):
        for container in containers(service):
            host = inspect(container)["HostConfig"]
            expect(host["ReadonlyRootfs"], f"{service}: root file system is writable")
            expect(host["LogConfig"]["Config"].get("max-size"), f"{service}: its log has no limit")
            expect(host["Memory"], f"{service}: its memory has no limit")
            expect(host["RestartPolicy"]["Name"] == "unless-stopped", f"{service}: no restart policy")
            for bindings in (host["PortBindings"] or {}).values():
                expect(all(one["HostIp"] == "127.0.0.1" for one in bindings), f"{service} listens beyond 127.0.0.1")
    return "user 1000, no capabilities, read-only root; logs and memory limited; ports on 127.0.0.1 only"


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
    doubled = [identity for identity, count in identities(LOGS).items() if count > 1]
    expect(not doubled, f"doubled: {doubled[:5]}")
    recent = [json.loads(one) for one in redis("LRANGE", "logs:recent", "0", "99")]
    in_file = identities(LOGS)
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
    doubled = [identity for identity, count in identities(*files()).items() if count > 1]
    expect(not doubled, f"doubled: {doubled[:5]}")
    verify(*(file.name for file in files()), reports=("three.json",))
    return f"logs-{{partition}}.txt: three consumers active, {len(files())} files, verify clean"


def expect_clean_exit(service):
    labels = ("--filter", f"label=com.docker.compose.project={PROJECT}",
              "--filter", f"label=com.docker.compose.service={service}",
              "--filter", "label=com.docker.compose.oneoff=False")  # fmt: skip
    for container in docker("ps", "--all", "--quiet", *labels).split():
        code = inspect(container)["State"]["ExitCode"]
        expect(code == 0, f"{service} exited {code} on SIGTERM")


def stops_cleanly():
    compose("stop")
    for service in ("consumer", "producer"):
        expect_clean_exit(service)
    compose("down", "--volumes", "--timeout", "30")
    label = f"label=com.docker.compose.project={PROJECT}"
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        left = docker(*kind, "--quiet", "--filter", label).split()
        expect(not left, f"left behind: docker {kind[0]} {left}")
    expect(LOGS.stat().st_size > 0, "data/logs.txt went with the stack")
    return "SIGTERM: programs exit 0; down --volumes leaves nothing but data/"


STEPS = [
    stack_starts,
    topics_are_there,
    file_grows,
    redis_answers,
    programs_are_confined,
    producer_sends_more,
    others_stand_by,
    standby_takes_over,
    nothing_lost_or_doubled,
    volumes_keep_everything,
    three_at_once,
    stops_cleanly,
]


def main():
    for step in STEPS:
        began = time.monotonic()
        try:
            said = step()
        except Failed as failed:
            print(f"FAIL {step.__name__}: {failed}", file=sys.stderr)
            for look in (["ps"], ["logs", "--no-color", "--tail", "30"]):
                print(subprocess.run([*COMPOSE, *look], capture_output=True, text=True).stdout, file=sys.stderr)
            sys.exit(1)
        print(f"ok   {said} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()

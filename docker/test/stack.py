"""A stack of Compose looked at from outside, for the proofs of test-compose: `PROOF REPOSITORY`.

Environment: COMPOSE (the command), STACK (the file), COMPOSE_PROJECT_NAME, DATA_FOLDER, REDIS_PORT, and what that file
reads. Standard library only.
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
    "--project-directory", str(REPO), "--file", str(REPO / os.environ["STACK"]),
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


def each_once(*files):
    """The (producer, seq) of the files; fails the test if one is there twice."""
    found = identities(*files)
    doubled = [identity for identity, count in found.items() if count > 1]
    expect(not doubled, f"doubled: {doubled[:5]}")
    return found


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


def in_broker(tool, *arguments):
    """Output of a tool of Kafka's, run beside the first broker that is there."""
    broker = next(one for name in ("kafka", "kafka-1", "kafka-2", "kafka-3") for one in containers(name))
    # The broker's own heap would not fit a second time into its memory limit.
    heap = ("--env", "KAFKA_HEAP_OPTS=-Xmx64m")
    return docker("exec", *heap, broker, tool, "--bootstrap-server", "localhost:29092", *arguments)


def group(*what):
    """Rows of kafka-consumer-groups for the consumers' group, by the names in its heading."""
    output = in_broker("kafka-consumer-groups", "--describe", "--group", "sluice", *what)
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


def healthy(*services):
    """Whether each service has a container and all of them are healthy."""
    found = [containers(service) for service in services]
    states = [inspect(one)["State"]["Health"]["Status"] for some in found for one in some]
    return all(found) and all(state == "healthy" for state in states)


def expect_confined(*services):
    """No way from a container to more than is its own."""
    for service in services:
        found = containers(service)
        expect(found, f"{service} does not run")
        for container in found:
            about = inspect(container)
            host = about["HostConfig"]
            expect(host["ReadonlyRootfs"], f"{service}: root file system is writable")
            expect(host["CapDrop"] == ["ALL"], f"{service}: capabilities are not dropped")
            expect("no-new-privileges:true" in host["SecurityOpt"], f"{service} can gain privileges")
            expect(host["LogConfig"]["Config"].get("max-size"), f"{service}: its log has no limit")
            expect(host["Memory"], f"{service}: its memory has no limit")
            expect(host["RestartPolicy"]["Name"] == "unless-stopped", f"{service}: no restart policy")
            user = about["Config"]["User"].split(":")[0]
            expect(user not in ("", "0", "root"), f"{service} runs as root")
            for bindings in (host["PortBindings"] or {}).values():
                expect(all(one["HostIp"] == "127.0.0.1" for one in bindings), f"{service} listens beyond 127.0.0.1")
    return "no root, no capabilities, read-only root; logs and memory limited; ports on 127.0.0.1 only"


def expect_clean_exit(service):
    labels = ("--filter", f"label=com.docker.compose.project={PROJECT}",
              "--filter", f"label=com.docker.compose.service={service}",
              "--filter", "label=com.docker.compose.oneoff=False")  # fmt: skip
    for container in docker("ps", "--all", "--quiet", *labels).split():
        code = inspect(container)["State"]["ExitCode"]
        expect(code == 0, f"{service} exited {code} on SIGTERM")


def nothing_is_left():
    label = f"label=com.docker.compose.project={PROJECT}"
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        left = docker(*kind, "--quiet", "--filter", label).split()
        expect(not left, f"left behind: docker {kind[0]} {left}")


def stop_cleanly():
    compose("stop")
    for service in ("consumer", "producer"):
        expect_clean_exit(service)
    compose("down", "--volumes", "--timeout", "30")
    nothing_is_left()
    return "SIGTERM: programs exit 0; down --volumes leaves nothing but data/"


def play(steps):
    """One after the other, until one fails."""
    for step in steps:
        began = time.monotonic()
        try:
            said = step()
        except Failed as failed:
            print(f"FAIL {step.__name__}: {failed}", file=sys.stderr)
            for look in (["ps"], ["logs", "--no-color", "--tail", "30"]):
                print(subprocess.run([*COMPOSE, *look], capture_output=True, text=True).stdout, file=sys.stderr)
            sys.exit(1)
        print(f"ok   {said} ({time.monotonic() - began:.0f} s)", flush=True)

# shellcheck shell=bash
# A Docker engine to test on: the one that is reachable, or else a private one for this run. Sourced by test-compose;
# expects `say`, `fail`, `skip`, `has`, `apt_install`, `cache` and `scratch`. Sets `engine` to `theirs` or `ours`.

engine=none
engine_pid=

find_engine() {
    if has docker && docker info >/dev/null 2>&1; then
        engine=theirs
        say "using the Docker engine that is running here"
    else
        start_engine
    fi
    choose_client
    choose_compose
}

# Our own engine: its data (images, build cache) stay in the cache folder, everything else in the scratch folder.
start_engine() {
    [ "$(id -u)" -eq 0 ] || skip "no Docker engine is reachable, and only root can start one"
    has dockerd || apt_install docker.io docker-compose || true
    has dockerd || skip "no Docker engine is reachable, and dockerd cannot be installed here"
    exec 9>"$cache/lock"
    flock --nonblock 9 || fail "another run is using $cache; wait for it, or set SLUICE_ENGINE_CACHE to another folder"

    had_bridge=$([ -e /sys/class/net/docker0 ] && echo yes || echo no)
    had_forward=$(cat /proc/sys/net/ipv4/ip_forward)
    had_policy=$(iptables -S FORWARD 2>/dev/null | sed -n 's/^-P FORWARD //p')

    # Another process group: Ctrl-C reaches this script first, which takes the stack down before its engine.
    setsid nice dockerd --data-root "$cache/docker" --exec-root "$scratch/exec" --pidfile "$scratch/dockerd.pid" \
        --host "unix://$scratch/docker.sock" >"$scratch/dockerd.log" 2>&1 9>&- &
    engine_pid=$!
    engine=ours
    export DOCKER_HOST=unix://$scratch/docker.sock
    local deadline=$((SECONDS + 60))
    until docker info >/dev/null 2>&1; do
        kill -0 "$engine_pid" 2>/dev/null || skip "dockerd does not start here: $(tail -n 1 "$scratch/dockerd.log")"
        [ "$SECONDS" -lt "$deadline" ] || fail "dockerd does not answer: $(tail -n 1 "$scratch/dockerd.log")"
        sleep 0.2
    done
    say "started an engine of our own: $(dockerd --version)"
}

stop_engine() {
    [ "$engine" = ours ] || return 0
    engine=none
    kill -TERM "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    # dockerd leaves mounts of network namespaces, its bridge and its firewall rules behind.
    sed -n "s|^[^ ]* \($scratch/[^ ]*\) .*|\1|p" /proc/mounts | sort -r | xargs --no-run-if-empty umount || true
    if [ "$had_bridge" = no ]; then
        ip link delete docker0 2>/dev/null || true
        local save
        for save in iptables-save ip6tables-save; do
            has "$save" && "$save" | grep -v -e DOCKER -e docker0 | "${save%-save}-restore" 2>/dev/null || true
        done
        [ -z "$had_policy" ] || iptables -P FORWARD "$had_policy" 2>/dev/null || true
        echo "$had_forward" >/proc/sys/net/ipv4/ip_forward
    fi
    say "stopped our engine"
}

# Cache mounts need BuildKit: in the client up to Docker 22, in its plugin buildx since. Of several clients on PATH
# take the first that can.
choose_client() {
    local client version
    while read -r client; do
        version=$("$client" --version | sed -n 's/^Docker version \([0-9]*\).*/\1/p')
        if [ "${version:-0}" -lt 23 ] || "$client" buildx version >/dev/null 2>&1; then
            mkdir -p "$scratch/bin"
            ln -sf "$client" "$scratch/bin/docker"
            export PATH=$scratch/bin:$PATH DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
            return
        fi
    done < <(type -ap docker)
    skip "no docker client here has BuildKit (install docker-buildx)"
}

# Sets COMPOSE to the command.
choose_compose() {
    if [ -n "${COMPOSE:-}" ]; then
        :
    elif docker compose version >/dev/null 2>&1; then
        COMPOSE="docker compose"
    elif has docker-compose; then
        COMPOSE=docker-compose
    elif [ "$(id -u)" -eq 0 ] && apt_install docker-compose; then
        COMPOSE=docker-compose
    else
        skip "Docker Compose is not installed"
    fi
    export COMPOSE
    say "$COMPOSE is $($COMPOSE version --short)"
}

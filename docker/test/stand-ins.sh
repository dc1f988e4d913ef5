# shellcheck shell=bash
# Images under the public tags for an engine of our own on a machine that reaches no image registry. Sourced by
# test-compose; expects `say`, `fail`, `repo`, `cache` and `scratch`. Nothing made here enters the repository.

stand_ins=$repo/docker/test/stand-ins

# The base: a minimal Debian, made once and kept in the cache.
stand_in_base() { # TAG
    local archive=$cache/bookworm.tar
    if [ ! -f "$archive" ]; then
        has debootstrap || apt_install debootstrap
        say "debootstrap: a minimal Debian bookworm, once"
        nice debootstrap --variant=minbase bookworm "$scratch/rootfs" >"$scratch/debootstrap.log" 2>&1 ||
            fail "debootstrap failed: $(tail -n 1 "$scratch/debootstrap.log")"
        rm -rf "$scratch/rootfs/var/cache/apt/archives"/*.deb "$scratch/rootfs/var/lib/apt/lists"/*
        tar -C "$scratch/rootfs" -cf "$archive.part" .
        mv "$archive.part" "$archive"
        rm -rf "$scratch/rootfs"
    fi
    docker import - "$1" <"$archive" >/dev/null
}

stand_in_rust() { # TAG
    local context=$scratch/rust cargo_home=${CARGO_HOME:-$HOME/.cargo} sysroot
    sysroot=$(cd "$repo" && rustc --print sysroot) || fail "no Rust on this machine to put into a build image"
    mkdir -p "$context/toolchain" "$context/cargo"
    tar -C "$sysroot" --exclude=share --exclude=lib/rustlib/src -c bin lib | tar -C "$context/toolchain" -x
    # Where this machine's cargo finds its crates; its credentials stay out.
    local file
    for file in config config.toml; do
        [ ! -f "$cargo_home/$file" ] || cp "$cargo_home/$file" "$context/cargo/"
    done
    cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$context/ca-certificates.crt"
    stand_in_build rust "$1" "$context"
    rm -rf "$context"
}

stand_in_confluent() { # TAG COMPONENT
    local context=$scratch/confluent
    [ -d "$repo/.servers/kafka-3.9.1/libs" ] || "$repo/scripts/setup"
    mkdir -p "$context"
    cp -al "$repo/.servers/kafka-3.9.1/libs" "$context/libs" 2>/dev/null ||
        cp -a "$repo/.servers/kafka-3.9.1/libs" "$context/libs"
    cp "$stand_ins/kafka-run" "$context/"
    stand_in_build confluent "$1" "$context" --build-arg "COMPONENT=$2"
    rm -rf "$context"
}

# What the stand-ins are made of: one of another version is made again.
stand_in_version() {
    { cat "$repo/docker/test/stand-ins.sh" "$stand_ins"/*; (cd "$repo" && rustc --version); } | sha256sum | cut -c 1-16
}

# Whether an image is there: the real one, or an up-to-date stand-in.
image_is_there() { # TAG
    local version
    version=$(docker image inspect --format '{{index .Config.Labels "sluice.stand-in"}}' "$1" 2>/dev/null) || return 1
    [ -z "$version" ] || [ "$version" = "$(stand_in_version)" ]
}

stand_in_build() { # NAME TAG CONTEXT OPTIONS…
    local name=$1 tag=$2 context=$3
    shift 3
    nice docker build --quiet --label "sluice.stand-in=$(stand_in_version)" --tag "$tag" --file "$stand_ins/$name.Dockerfile" "$@" "$context" \
        >"$scratch/$name.log" 2>&1 || fail "stand-in $tag: $(tail -n 3 "$scratch/$name.log")"
}

# The stand-in for one public image.
stand_in() { # TAG
    say "no registry: making a stand-in for $1"
    case $1 in
    debian:*) stand_in_base "$1" ;;
    rust:*) stand_in_rust "$1" ;;
    redis:*) mkdir -p "$scratch/empty" && stand_in_build redis "$1" "$scratch/empty" ;;
    confluentinc/cp-zookeeper:*) stand_in_confluent "$1" zookeeper ;;
    confluentinc/cp-kafka:*) stand_in_confluent "$1" kafka ;;
    *) fail "no stand-in known for image $1" ;;
    esac
}

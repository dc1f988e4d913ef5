# What a person types. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help setup build up down demo test test-compose lint chaos fuzz bench bench-quick bench-micro study-tuning soak clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## make this machine ready: compilers checked, servers fetched
	@scripts/setup

build: setup ## build everything, optimised
	cargo build --release --workspace --all-targets

up: setup ## start ZooKeeper, Kafka and Redis to play with, and print their addresses
	cargo build --release --workspace
	@target/release/harness up

down: ## stop what `make up` started
	@if [ -x target/release/harness ]; then target/release/harness down; else echo "nothing was built, so nothing is up"; fi

demo: setup ## the whole pipeline on servers of its own, half a minute once built
	cargo build --release --workspace
	@target/release/harness demo

# Servers that live for some seconds never earn what Java's second compiler costs: a third less CPU without it. Tests wait
# more than they work, so there are half as many again as processors.
test: export JAVA_TOOL_OPTIONS ?= -XX:TieredStopAtLevel=1
test: export RUST_TEST_THREADS ?= $(shell expr $$(nproc) \* 3 / 2)
# Each fuzz target for ten seconds: two minutes in all.
test: export BOLERO_RANDOM_TEST_TIME_MS ?= 10000
test: ## everything: lints, unit tests, audits on real servers, Compose
	@scripts/step scripts/setup
	@scripts/step $(MAKE) --no-print-directory lint
	@scripts/step cargo build --release --workspace --all-targets
	@scripts/step cargo test --release --workspace
	@scripts/step target/release/chaos --seed 1
	@scripts/step cargo bench --workspace --bench '*' -- --test
	@scripts/step docker/test-compose

test-compose: ## the real docker-compose.yml, checked from outside; skipped without an engine
	docker/test-compose

lint: setup ## formatting, clippy, licences and sources of dependencies, Kubernetes manifests
	scripts/deny
	deploy/kubernetes/check
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

chaos: setup ## one fault after the other on real servers, every event accounted for: five minutes; SEED=7 ROUNDS=100
	cargo build --release --workspace
	@target/release/chaos $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS))

SECONDS_EACH ?= 60
TARGET ?= fuzz_
fuzz: setup ## bytes into all that comes from outside, guided by coverage: a minute each; SECONDS_EACH=600 TARGET=fuzz_decode
	@scripts/fuzz $(SECONDS_EACH) $(TARGET)

bench: setup ## all figures with plots, and other programs at the same jobs, into benches/results: twenty minutes
	@benches/peers/setup
	cargo build --release --workspace
	@target/release/bench all

bench-quick: setup ## a look at the figures: a minute, into target/bench-quick
	cargo build --release --workspace
	@target/release/bench all --quick --out target/bench-quick

study-tuning: setup ## what partitions and batching do to the latency, into benches/results: twenty minutes
	cargo build --release --workspace
	@target/release/bench study-tuning

soak: setup ## half an hour at half the highest rate, every event verified; does anything grow? into benches/results
	cargo build --release --workspace
	@target/release/bench soak

bench-micro: setup ## figures of the hot parts alone, two minutes once built; no servers
	cargo bench --workspace --bench '*'

clean: ## remove builds, servers and their data
	@if [ -x target/release/harness ]; then target/release/harness down; fi
	rm -rf target .servers

# CI runs `make check`, which changes no source file. `make fix` applies the automatic corrections.
export CARGO_INCREMENTAL ?= 0

.PHONY: check check-parts fix fuzz fuzz-merge bench bench-build soak soak-chaos soak-hostile soak-cassandra cassandra-up cassandra-down bench-cassandra bench-replicator soak-replicator

# the server of `make check`; it can run beside the server of `make cassandra-up`
CHECK_SERVER := env CASSANDRA_NET=8 CASSANDRA_DIR=$(CURDIR)/target/cassandra-check CASSANDRA_HEAP=$(or $(CASSANDRA_HEAP),1g) deploy/cassandra
CHECK_TESTS := TEST_CASSANDRA=127.0.8.1:9042 TEST_CASSANDRA_CA=$(CURDIR)/target/cassandra-check/1/tls.pem
PART := @.ci/part

# features that are off by default are checked too
FEATURES := --all-features

# installs what is missing, runs all parts, and prints the time of each, also when one fails
check:
	@.ci/prepare
	@.ci/part begin
	@$(MAKE) --no-print-directory check-parts; checked=$$?; .ci/part table; exit $$checked

check-parts:
	$(PART) "format" cargo fmt --all --check
	$(PART) "lints" cargo clippy --workspace --all-targets $(FEATURES) --locked -- -D warnings
	$(PART) "lints of the default features" cargo clippy --locked -- -D warnings
	$(PART) "lints of the client alone" cargo clippy -p antiphon --no-default-features --features client --locked -- -D warnings
	$(PART) "dependencies" .ci/deny
	$(PART) "packages" .ci/package
	$(PART) "a crate outside the workspace" .ci/outside/run
	$(PART) "build of the tests" cargo test --workspace $(FEATURES) --locked --no-run
	$(PART) "start of Cassandra" $(CHECK_SERVER) up
	$(PART) "tests" env $(CHECK_TESTS) cargo test --workspace $(FEATURES) --locked; tested=$$?; $(CHECK_SERVER) down; exit $$tested
	$(PART) "a database of three servers" cargo test --workspace $(FEATURES) --test processes --locked -- --ignored database_node_of_three
	@if [ $$(id -u) = 0 ]; then .ci/part "a database with a full disk" cargo test --workspace $(FEATURES) --test processes --locked -- --ignored disk_is_full; else echo "left out: the test that fills a database's disk needs root" >&2; fi
	$(PART) "fuzzing" $(MAKE) --no-print-directory fuzz SEED=1
	$(PART) "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets $(FEATURES) --fix --allow-dirty --allow-staged

# all decoders, each target for a minute, two at a time: `make fuzz SECONDS=60`;
# one target: TARGET=records; one input of it: INPUT=file; the same inputs each time: SEED=1 (fuzz/run)
SECONDS ?= 60
fuzz:
	@SECONDS_EACH=$(SECONDS) TARGET=$(TARGET) INPUT=$(INPUT) SEED=$(SEED) fuzz/run

# puts the inputs that reach the most code into the corpora: `make fuzz-merge` after `make fuzz SECONDS=600`
fuzz-merge:
	@TARGET=$(TARGET) MERGE=1 fuzz/run

# the seconds of a build of a user's crate with one entity, after a change of its only file
bench-build:
	.ci/outside/run seconds

# all cases: `make bench`; one case: `make bench CASE=appends`
bench:
	cargo run --release --locked -p antiphon-benches -- $(CASE)

# the Cassandra journal, on a server of its own: `make bench-cassandra`;
# one case: `make bench-cassandra CASE=cassandra-replay`. The server needs a heap of
# CASSANDRA_HEAP=4g. CASSANDRA_SYNC=periodic is the server's default; CASSANDRA_SYNC=batch loses
# nothing.
bench-cassandra:
	$(CHECK_SERVER) up
	BENCH_CASSANDRA=127.0.8.1:9042 cargo run --release --locked -p antiphon-benches -- $(or $(CASE),cassandra); \
	measured=$$?; $(CHECK_SERVER) down; exit $$measured

# the replicator between two test servers: `make bench-replicator`;
# its memory over many events: `make bench-replicator BENCH_EVENTS=1000000`
BENCH_EVENTS ?= 200000
bench-replicator:
	cargo build --release --locked -p antiphon-replicator --bins --example bench_replicator
	BENCH_EVENTS=$(BENCH_EVENTS) target/release/examples/bench_replicator

# the replicator killed in a loop while both sides fail and streams are deleted, truncated and
# described, with a model of the destination: `make soak-replicator KILL_ROUNDS=200`; other choices:
# KILL_SEED=7; some changes only: KILL_CHANGES=delete,tombstone,count,before,odd,empty
soak-replicator:
	REPLICATOR_KILL_ROUNDS=$(KILL_ROUNDS) REPLICATOR_KILL_SEED=$(or $(KILL_SEED),0) \
	REPLICATOR_KILL_CHANGES=$(KILL_CHANGES) cargo test --locked -p antiphon-replicator --test processes -- kills --nocapture

# rounds of faults on real processes, with a checker of all answers: `make soak-chaos ROUNDS=500`;
# on Cassandra: STORE=cassandra; the faults of one seed: SEED=7; journals that go back: REWIND=1
# (tests/chaos/main.rs)
ROUNDS ?= 100
STORE ?= sqlite
soak-chaos:
ifeq ($(STORE),cassandra)
	$(CHECK_SERVER) up
	STORE=cassandra ROUNDS=$(ROUNDS) SEED=$(SEED) TEST_CASSANDRA=127.0.8.1:9042 \
	CASSANDRA_NET=8 CASSANDRA_DIR=$(CURDIR)/target/cassandra-check \
	cargo test --locked -p antiphon-tests --test chaos -- --nocapture; tested=$$?; $(CHECK_SERVER) down; exit $$tested
else
	ROUNDS=$(ROUNDS) SEED=$(SEED) REWIND=$(REWIND) cargo test --locked -p antiphon-tests --test chaos -- --nocapture
endif

# programs that attack the link port of real nodes: 1 GB of noise, 10,000 silent connections
# (tests/hostile/main.rs); this process needs as many open files: `ulimit -n`
NOISE_MB ?= 1024
HALF_OPEN ?= 10000
ATTACK_SECONDS ?= 60
soak-hostile:
	cargo build --release --locked -p antiphon-node --bin antiphon --features cassandra
	NODE_BINARY=$(CURDIR)/target/release/antiphon NOISE_MB=$(NOISE_MB) HALF_OPEN=$(HALF_OPEN) ATTACK_SECONDS=$(ATTACK_SECONDS) TIMED=1 \
	cargo test --locked -p antiphon-tests --test hostile -- --nocapture --test-threads 1

# a longer simulation: `make soak SEEDS=10000`
SEEDS ?= 10000
soak:
	SEEDS=$(SEEDS) cargo test --release --locked -p antiphon-tests --test simulation -- --nocapture

# a Cassandra server at 127.0.0.1:9042 for development; it needs Java 17 and, the first time, Maven
cassandra-up:
	deploy/cassandra up
cassandra-down:
	deploy/cassandra down

# the long campaigns: 200 rounds of kill -9 of nodes on one Cassandra server; then writers that are
# sealed under load on three servers, of which one after the other is killed or frozen
KILL_ROUNDS ?= 200
PROTOCOL_SEEDS ?= 5000
PROTOCOL_SERVER_SEEDS ?= 167
THREE_SERVERS := CASSANDRA_NET=9 CASSANDRA_DIR=$(CURDIR)/target/cassandra-three deploy/cassandra
soak-cassandra:
	$(CHECK_SERVER) up
	TEST_CASSANDRA=127.0.8.1:9042 KILL_ROUNDS=$(KILL_ROUNDS) \
	cargo test --release --locked -p antiphon-tests --test processes -- cassandra --nocapture; \
	tested=$$?; $(CHECK_SERVER) down; exit $$tested
	$(THREE_SERVERS) up 3
	$(THREE_SERVERS) torment & torment=$$!; \
	TEST_CASSANDRA=127.0.9.1:9042,127.0.9.2:9042,127.0.9.3:9042 TEST_CASSANDRA_COPIES=3 \
	PROTOCOL_SEEDS=$(PROTOCOL_SEEDS) PROTOCOL_SERVER_SEEDS=$(PROTOCOL_SERVER_SEEDS) PROTOCOL_AT_ONCE=16 \
	cargo test --release --locked -p antiphon-cassandra --test protocol -- --nocapture; \
	tested=$$?; kill $$torment || { echo "the torment ended early" >&2; tested=1; }; wait $$torment; $(THREE_SERVERS) down; exit $$tested

# `make check` is what CI runs; it changes nothing. `make fix` rewrites what can be rewritten.
export CARGO_INCREMENTAL ?= 0

.PHONY: check fix bench soak

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# all: `make bench`; one: `make bench CASE=appends`
bench:
	cargo run --release --locked -p antiphon-benches -- $(CASE)

# a longer simulation: `make soak SEEDS=10000`
SEEDS ?= 10000
soak:
	SEEDS=$(SEEDS) cargo test --release --locked -p antiphon-tests --test simulation -- --nocapture

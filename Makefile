# `make run`: a cluster on this machine. `make test`: all that is checked. Both install what is missing on Debian and Ubuntu.

SHELL := /bin/bash
ARGS ?=

.PHONY: run test check tools

# A whole cluster, from nothing: two nodes, two shards, PostgreSQL and Redis of its own under .herald. `make run ARGS="--nodes 3"`.
run: tools
	cargo build --release --bin herald
	exec target/release/herald dev $(ARGS)

# What can be said without running anything.
check: tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# All tests, over real PostgreSQL and Redis that they start themselves.
test: check
	./deploy/run-tests

tools:
	@./deploy/install-tools

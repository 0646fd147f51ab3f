SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test prepare fmt lint docs build check faults bench

PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

help: ## List the targets.
	@grep -E '^[a-z]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.* ## /\1\t/' | expand -t 10

run: ## Start everything in one process, as `cargo run` does.
	cargo run --locked

test: prepare lint docs build check ## Everything that continuous integration runs.

prepare: ## Install what the tests need, or name it.
	.ci/prepare

fmt: ## Format the code.
	cargo fmt --all

# Tests enable fault injection; the second clippy checks the programs as a release builds them.
lint: ## Check format, lints and dependencies.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --bins --locked -- -D warnings
	cargo machete
	cargo deny --locked check licenses bans sources
	@if cargo deny --locked fetch db 2>/dev/null; then \
	    cargo deny --locked check --disable-fetch advisories; \
	else \
	    echo "advisories not checked: their database cannot be reached"; \
	fi

# For developers: private items are documented too, and links to them are allowed.
docs: ## Build the documentation; a broken link fails.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked

# The targets of tests bring fault injection into the programs, which the tests of waybill need.
build: ## Build every program and test.
	cargo build --workspace --all-targets --locked

check: build ## Run the tests, with a private RabbitMQ and PostgreSQL.
	cargo test --workspace --doc --locked
	$(PROGRAMS)/with-servers -- cargo nextest run --workspace --locked --profile ci

# `make bench ARGS="order_by_id create_order --seconds 10"` measures those alone; `bench list` names them all. PROFILE=bench-fast
# builds in minutes and measures programs that are a little slower.
PROFILE ?= release

bench: ## Measure the system beside its floors, and print one table.
	cargo build --profile $(PROFILE) --workspace --bins --locked
	$(or $(CARGO_TARGET_DIR),target)/$(PROFILE)/bench run $(ARGS)

# Each of the simulation's four tests takes 2500 seeds.
faults: build ## Break everything at full scale, for an hour or two, and print the figures.
	WAYBILL_SIMULATION_RUNS=2500 cargo nextest run -p waybill --test simulation --locked --profile faults
	WAYBILL_FAULTS=full cargo nextest run -p waybill --test faults --locked --profile faults

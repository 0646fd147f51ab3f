SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test prepare fmt lint docs build check faults

PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

help: ## Say what there is to make.
	@grep -E '^[a-z]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.* ## /\1\t/' | expand -t 10

run: ## Start everything in one process, as `cargo run` does.
	cargo run --locked

test: prepare lint docs build check ## Everything that continuous integration runs.

prepare: ## Install or name what the tests need.
	.ci/prepare

fmt: ## Format the code.
	cargo fmt --all

lint: ## Check format and lints.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# For whoever works on this: private items are documented too, and may be linked to.
docs: ## Build the documentation; a broken link fails.
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --locked

build: ## Build every program and test.
	cargo build --workspace --all-targets --locked

check: build ## Run the tests, with a private RabbitMQ and PostgreSQL.
	cargo test --workspace --doc --locked
	$(PROGRAMS)/with-servers -- cargo nextest run --workspace --locked --profile ci

# Each of the simulation's four tests takes 2500 seeds.
faults: build ## Break everything at full scale, for an hour or two, and print the figures.
	WAYBILL_SIMULATION_RUNS=2500 cargo nextest run -p waybill --test simulation --locked --profile faults
	WAYBILL_FAULTS=full cargo nextest run -p waybill --test faults --locked --profile faults

# Builds need the Rust that Cargo.toml names. What is needed beside it: scripts/install-test-tools.
.DEFAULT_GOAL := help
CARGO ?= cargo
ARGS ?=

.PHONY: help demo test check chaos chaos-input chaos-crash fuzz bench clean-demo

help: ## What there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: ## The whole gateway on this machine, with stand-ins for everything around it
	scripts/install-test-tools
	$(CARGO) run -p sekisho -- demo $(ARGS)

test: ## Every test, and the deliberate mistakes that tests must notice
	scripts/install-test-tools browser interop
	$(CARGO) test --workspace
	$(CARGO) test -p sekisho-tests --test durability -- --ignored
	$(CARGO) test -p sekisho-tests --test tls -- --ignored
	$(CARGO) test -p sekisho-tests --test stories proofs:: -- --ignored --nocapture
	$(CARGO) test -p sekisho-tests --test browser -- --ignored
	$(CARGO) test -p sekisho-tests --test interop -- --ignored
	$(CARGO) test -p sekisho-tests --test crash -- --ignored --nocapture
	$(CARGO) test -p sekisho --test it thousand -- --ignored --nocapture
	fuzz/run
	tests/mutations/run
	tests/sabotage/run

check: ## Formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

chaos: chaos-input chaos-crash ## Every campaign in full: hostile input, crashes, failing disks (docs/chaos.md)

chaos-input: export SEKISHO_CHAOS ?= 100000
chaos-input: export SEKISHO_CHAOS_SEED ?= $(shell date +%s)
chaos-input: ## Only hostile input at a running gateway: forged tokens, paths, framing; ONLY=tokens one of them
	$(CARGO) test --profile chaos -p sekisho-tests --test chaos $(ONLY) -- --nocapture --test-threads=1

chaos-crash: export SEKISHO_CRASHES = long
chaos-crash: export SEKISHO_CHAOS_SEED ?= $(shell date +%s)
chaos-crash: ## Only crashes and failing disks; ONLY=power, kill, faults or index one of them
	scripts/install-test-tools
	$(CARGO) test -p sekisho-tests --test crash $(ONLY) -- --include-ignored --nocapture --test-threads=1

fuzz: export FUZZ_RUNS ?= 10000000
fuzz: export FUZZ_SECONDS ?= 3600
fuzz: ## Ten million runs of each fuzz target, an hour each at most; ONLY=narrow one of them (docs/fuzzing.md)
	scripts/install-test-tools
	fuzz/run

bench: ## How fast, against other proxies and apart; fails when a bar does not hold; ARGS=writes one part (docs/performance.md)
	scripts/install-test-tools bench
	$(CARGO) build --release -p sekisho -p sekisho-tests --bins
	$(CARGO) run --release -p sekisho-tests --bin bench_proxy -- $(ARGS)

clean-demo: ## Removes what the demo keeps
	rm -rf demo-data certs-dev

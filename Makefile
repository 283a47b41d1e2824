# The front door. Each target calls tests/harness, which builds only what changed.
# SMP_CPUS=4 MEM=2G PYTHONOS_FREE_THREADING=0 ACCEL=tcg make run

HARNESS := sh tests/harness/start.sh

export SMP_CPUS MEM ACCEL TARGET_ARCH PYTHONOS_FREE_THREADING REPL_HOST_PORT FILE_HOST_PORT

.DEFAULT_GOAL := build
.PHONY: build help setup run run-x86_64 run-arm64 test test-x86_64 test-arm64 boot-test test-cpython bench stress iso stop connect \
        clean cleanall fmt check clippy mypy ruff cargo-test compare loom check-deep

build: ## build the image and the initrd (what plain `make` does)
	@$(HARNESS) build

help: ## show this list
	@sed -n 's/^\([a-z0-9_-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'
	@echo
	@echo 'Variables: SMP_CPUS=2 (1 to 64)  MEM=1G  ACCEL=auto|tcg|kvm|hvf  PYTHONOS_FREE_THREADING=1|0'
	@echo '           TARGET_ARCH=x86_64  REPL_HOST_PORT=5555  FILE_HOST_PORT=17000'

setup: ## install what building and testing need, or say what to type
	@$(HARNESS) setup

run: ## boot to the Python prompt on this terminal; Ctrl-A X leaves QEMU
	@$(HARNESS) run

run-x86_64: ## the same for x86_64, whatever the host
	@TARGET_ARCH=x86_64 $(HARNESS) run

run-arm64: ## the same for 64-bit ARM
	@TARGET_ARCH=arm64 $(HARNESS) run

test: ## host tests, loom, then machines of both architectures: exit code 0 only if all passed
	@$(HARNESS) test

test-x86_64: ## the same with machines of x86_64 alone
	@TARGET_ARCH=x86_64 $(HARNESS) test

test-arm64: ## the same with machines of 64-bit ARM alone
	@TARGET_ARCH=arm64 $(HARNESS) test

boot-test: ## the tests that boot machines alone, of one architecture; PYTEST_ARGS="-k name" picks
	@$(HARNESS) boot-test

test-cpython: ## CPython's regression tests as conformance suite (hours); ARGS="--only test_os" picks
	@$(HARNESS) test-cpython $(ARGS)

bench: ## measure against Linux in the same QEMU; results below build/bench/
	@$(HARNESS) bench

stress: ## ten minutes of everything at once on each architecture; STRESS_ARGS="--seconds 60 --seed 7"
	@$(HARNESS) stress

iso: ## write build/<config>/pythonos.iso, for BIOS and UEFI
	@$(HARNESS) iso

connect: ## attach this terminal to the Python shell of a running machine; Ctrl-] leaves
	@$(HARNESS) connect

stop: ## end the machines that `make run` started
	@$(HARNESS) stop

clean: ## remove build/ and target/; the cache of what was built from C stays
	@$(HARNESS) clean

cleanall: ## remove that cache too, downloads included
	@$(HARNESS) cleanall

fmt: ## format the Rust sources
	cargo fmt --all

check: clippy mypy ruff ## formatting, lints and types
	cargo fmt --all --check

clippy: ## Rust lints for the machine and for the host, tests included; warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package kernel --release --target x86_64-unknown-none -- -D warnings
	cargo clippy --package kernel --release --target aarch64-unknown-none-softfloat -- -D warnings

mypy: ## check the types of the Python sources
	@$(HARNESS) mypy

ruff: ## look for mistakes in the Python sources
	@$(HARNESS) ruff

cargo-test: ## the Rust tests that need no machine
	cargo test --workspace

compare: ## random calls of the kernel's file and terminal code against this Linux; as root, CASES=100
	@$(HARNESS) compare

loom: ## every interleaving of the locks' models
	@$(HARNESS) loom

check-deep: ## the crates' tests under Miri, with a nightly Rust that it installs
	@$(HARNESS) check-deep

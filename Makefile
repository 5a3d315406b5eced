# Everything a developer does, one target each; CI calls the same targets. `make help` lists them.

TASK ?= walker-walk
ARGS ?=
DIST ?= dist

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

comma := ,
empty :=
space := $(empty) $(empty)

# The stamp's name lists the installed extras: `make train` keeps what `make setup EXTRA=cuda` installed, and another
# EXTRA adds to it.
INSTALLED := $(filter-out base,$(subst +,$(space),$(patsubst .venv/.setup-%,%,$(firstword $(wildcard .venv/.setup-*)))))
override EXTRA := $(sort $(INSTALLED) $(EXTRA))
# What the tests and the examples use; the GPU build of JAX is the one extra that a machine decides.
EXTRAS := dmc myosuite mujoco export minari ray report tensorboard video wandb
STAMP := .venv/.setup-$(subst $(space),+,$(or $(strip $(EXTRA)),base))

# uv from PATH where it works (a pyenv shim may be there and not), else our own.
UV := $(if $(shell uv --version 2>/dev/null),uv,.uv/bin/uv)
UV_PROGRAM := $(if $(filter uv,$(UV)),,$(UV))
BIN := .venv/bin

##@ First steps

.PHONY: setup
setup: $(STAMP) ## Create .venv from the lock file with everything a developer needs (EXTRA=cuda adds the GPU build of JAX)

.PHONY: train
train: setup ## Train CrossQ + WN on walker-walk, under four minutes on 2 cores (TASK=dog-run, ARGS="--utd 5 --seed 1")
	$(BIN)/surefoot train $(TASK) --algorithm crossq-wn-code --utd 1 --set warmup_transitions=1000 \
	  --env-steps 17_000 --evaluate-every 4_250 $(ARGS)

# A file's tests share what they compile, so a file stays in one process.
PYTEST = $(BIN)/pytest --numprocesses $(shell getconf _NPROCESSORS_ONLN) --maxprocesses 4 --dist loadfile

.PHONY: test
test: setup ## Run the fast tests on the CPU, in under five minutes on two cores (ARGS="tests/cli -k help")
	$(PYTEST) -m "not slow" $(ARGS)

.PHONY: test-slow
test-slow: setup ## Run the slow tests: random kills, every example, timing, more combinations
	$(PYTEST) -m slow $(ARGS)

.PHONY: test-all
test-all: setup ## Run the fast and the slow tests
	$(PYTEST) $(ARGS)

# The dependencies in uv.lock lie between these two. An environment is built anew each time, since the index changes.
.PHONY: test-lowest test-newest
test-lowest: RESOLUTION := lowest-direct
test-lowest: ## Run the fast tests with the lowest supported versions of all dependencies
test-newest: RESOLUTION := highest
test-newest: ## Run the fast tests with the newest versions of all dependencies
test-lowest test-newest: test-%: $(UV_PROGRAM)
	$(UV) venv --clear .envs/$*
	$(UV) pip install --quiet --python .envs/$* --resolution $(RESOLUTION) --group dev --editable '.[$(subst $(space),$(comma),$(EXTRAS))]'
	$(subst $(BIN),.envs/$*/bin,$(PYTEST)) -m "not slow" $(ARGS)

# Each test writes to .storm/ as it goes. Mounting a small disk needs root, or unshare -rm.
STORM := kills disk ray_kills mutations
STORM_ARGS ?=

.PHONY: storm
storm: setup ## Kill runs, fill disks, damage files, mutate inputs, for some hours (STORM_ARGS="--minutes 5")
	@failed=; for test in $(STORM); do $(BIN)/python -m tests.storm.$$test $(STORM_ARGS) || failed="$$failed $$test"; done; \
	if [ -n "$$failed" ]; then echo "storm: problems in$$failed, see .storm/" >&2; exit 1; fi

##@ Quality

.PHONY: lint
lint: setup ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: setup ## Check types
	$(BIN)/mypy

.PHONY: docs
docs: setup ## Build the documentation into site/; a warning is an error
	$(BIN)/mkdocs build --strict

.PHONY: build
build: $(UV_PROGRAM) ## Build the sdist, and from it the wheel, into dist/
	$(UV) build --out-dir $(DIST)

##@ Measurements

# SBX needs other versions of nearly every package, so it has an environment of its own, from PyPI.
SBX := sbx-rl==0.28.0
SBX_PYTHON ?= $(BIN)/python

.PHONY: bench
bench: setup .bench/sbx/.$(SBX) ## Measure the update against the machine's limit and SBX's CrossQ (ARGS="--utd 2 --presets sac")
	$(BIN)/python -m benchmarks.speed $(ARGS)

.PHONY: bench-gpu
bench-gpu: setup ## Measure many agents and environments on a GPU (make setup EXTRA="cuda playground" first), in 9 minutes
	$(BIN)/python -m benchmarks.gpu $(ARGS)

.bench/sbx/.$(SBX): | setup
	@rm -rf .bench/sbx
	$(SBX_PYTHON) -m venv .bench/sbx
	.bench/sbx/bin/python -m pip install --quiet '$(SBX)' || \
	  { rm -rf .bench/sbx; echo "SBX was not installed: python -m benchmarks.speed measures without it" >&2; exit 1; }
	@touch $@

.PHONY: evidence
evidence: setup ## Train the queue of results/evidence.py (hours; can be stopped and continued) and copy what is finished to results/
	$(BIN)/python -m results.evidence

.PHONY: evidence-gpu
evidence-gpu: setup ## Train ten seeds of CrossQ with and without WN and of XQC on a GPU (make setup EXTRA=cuda first), in 9 minutes
	$(BIN)/python -m results.evidence_gpu $(ARGS)

.PHONY: evidence-report
evidence-report: setup ## Build a report of all runs under results/ into evidence-report/
	$(BIN)/surefoot report results -o evidence-report

##@ Housekeeping

.PHONY: clean
clean: ## Remove the environment and all that was built; runs/ stays
	rm -rf .venv .envs .uv site dist .bench evidence-report .storm .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(STAMP): uv.lock pyproject.toml .python-version $(UV_PROGRAM)
	@# .python-version names the Python: the simulators have no wheels for every one that surefoot itself supports.
	@# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would otherwise compile what it imports.
	@# Inexact, to keep what was added by hand.
	$(UV) sync --frozen --inexact --compile-bytecode $(addprefix --extra ,$(EXTRAS) $(EXTRA))
	@rm -f .venv/.setup-*
	@touch $@

.uv/bin/uv:
	@rm -rf .uv
	@# The first python3 may be a pyenv shim without the version this folder asks for: try the system's as well.
	@# pip goes first, since it uses a package mirror that the machine is configured for.
	@for python in python3 /usr/bin/python3; do \
	  if $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    $$python -m venv .uv && .uv/bin/python -m pip install --quiet 'uv>=0.9' && exit 0; exit 1; \
	  fi; \
	done; \
	for python in python3 /usr/bin/python3; do \
	  if $$python -c '' 2>/dev/null; then $$python scripts/fetch_uv.py $@ && exit 0; break; fi; \
	done; \
	echo "surefoot needs uv or a python3 that can make virtual environments: sudo apt-get install python3-venv" >&2; \
	exit 1

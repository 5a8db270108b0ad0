# Everything is made in .venv (environment) and build/ (results); slow builds go to the cache that
# tests/bench/parts.py names, outside the tree.

PYTHON ?= 3.11
SIZES  ?= 1000/100,10000/1000,50000/2000
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.made-$(PYTHON)

# As after an ordinary installation: without bytecode each start of a command compiles 400 modules, 0.6 s.
export PYTHONDONTWRITEBYTECODE =

# uv from PATH, or one of our own, made with nothing but Python.
UV := $(or $(shell command -v uv),build/uv/bin/uv)

COMPILE = $(UV) pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help demo env test test-thorough proof fuzz soak check format lock mutants docs figures pictures release wheel bench bench-build bench-missing test-pythons clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: env ## Try it: an embedded cluster with a certificate that was never loaded, until Ctrl-C (Python only)
	@$(BIN)/python -m rehearsal.demo --directory build/demo

env: $(STAMP) ## Make the environment (.venv) from the lock

test: env ## Run the checks and the quick tests (2 minutes), then those of the benches that are built
	@$(BIN)/python -m tests.tiers

test-thorough: env ## Run the longer tests that need only Python: whole commands, simulations, samples of matrices
	@$(BIN)/python -m tests.tiers --only thorough

proof: env ## Run the full matrices, of which make test runs a sample
	@$(BIN)/python -m tests.tiers --proof

fuzz: env ## Fuzz all that reads what others wrote (MINUTES=60); inputs that did something new are kept
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),60) --keep

soak: env ## Soak the exporter at size on a real API server under faults by chance (MINUTES=60; needs the small bench)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60)

check: env ## Lint, format, types, imports and lock only
	@$(BIN)/python -m tests.tiers --only checks

format: env ## Put the code into the project's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: env ## Take newer dependencies into the locks: of the environment, of image and release
	$(COMPILE) pyproject.toml --extra dev --upgrade --output-file requirements.lock
	$(COMPILE) pyproject.toml --constraint requirements.lock --upgrade --output-file image/requirements.lock
	$(COMPILE) image/build.in --upgrade --output-file image/build.lock
	$(COMPILE) release/sbom.in --upgrade --output-file release/sbom.lock

mutants: env ## Damage the pure core and the alerts' rules one piece at a time: their tests must notice
	$(BIN)/python -m tests.mutants $(MODULES)
	$(BIN)/python -m alerts.mutants

docs: env ## Write again what is generated: parts of docs/, the alerts' rules, dashboard and chart values
	$(BIN)/python -m docs.generate

figures: env ## Take what tests measured in their last runs (make test, make proof) into docs/; then make docs
	$(BIN)/python -m docs.figures

pictures: env ## Make the documentation's pictures again: page and terminal (needs Chromium and its driver)
	$(BIN)/python -m docs.pictures

release: env ## Build all that is released into build/release (with the BuildKit of $$BUILDKIT_HOST, else the bench's)
	$(BIN)/python -m $(if $(BUILDKIT_HOST),release.build,tests.dry_release)

wheel: env ## Build the wheel into dist/
	$(UV) build --quiet --wheel --build-constraints image/build.lock --require-hashes --out-dir dist

bench: env ## Measure the exporter at size, beside the machine's limits (SIZES=1000/100,10000/1000,50000/2000)
	$(BIN)/python -m tests.benchmark --sizes $(SIZES)

bench-build: env ## Build the real cluster's parts into the cache (about 22 minutes when cold; needs Go)
	$(BIN)/python -m tests.bench.parts build

bench-missing: env ## Say what the benches lack on this machine, and the remedy
	$(BIN)/python -m tests.bench.parts missing

test-pythons: env ## Run the quick tests with every other supported Python on this machine
	@$(BIN)/python -m tests.pythons

clean: ## Remove all that was made in the tree
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMP): pyproject.toml requirements.lock image/build.lock | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --no-deps --build-constraints image/build.lock --python $(BIN)/python --editable .
	@rm -f $(VENV)/.made-*
	@touch $@

build/uv/bin/uv:
	python3 -m venv build/uv
	build/uv/bin/pip install --quiet uv

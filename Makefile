# Everything a person or a CI server runs. Needs git, make and Python 3.11 to 3.13; writes only inside this folder.
#
#   make help             list all targets
#   make PYTHON=python3.12 venv
#   make MATRIX="2.11.2 3.3.2" matrix

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The newest Airflow we support: what `.venv` holds.
AIRFLOW ?= 3.3.2
MATRIX ?= 2.11.2 3.3.2
SMOKE ?= $(AIRFLOW)
PYTEST_ARGS ?=
FLEET_ARGS ?=
CHAOS_ARGS ?=
FUZZ_ARGS ?=
MUTANTS_ARGS ?=
BENCH_ARGS ?=
FAULTS_ARGS ?=
# Many tests wait for a real Airflow rather than compute. Each worker has an Airflow home of its own. The order is that of
# FIRST in tests/conftest.py, where xdist would begin with the files that have most tests.
PYTEST_PARALLEL ?= -n 6 --dist loadfile --no-loadscope-reorder

CACHE := $(CURDIR)/.cache
export UV_CACHE_DIR := $(CACHE)/uv
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
# Compile once, on all cores, instead of in each of the processes that Airflow or the tests start at the same time.
export UV_COMPILE_BYTECODE := 1
# As pip does: behind a company's proxy, its own certificate authority is in the machine's store.
export UV_SYSTEM_CERTS ?= 1
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export XDG_CACHE_HOME := $(CACHE)
export TMPDIR := $(CACHE)/tmp
# pip asks rustc for its version, and rustup's stand-in for rustc then writes into the home folder.
export RUSTUP_HOME := $(CACHE)/rustup
export PYTHONNOUSERSITE := 1
export AIRFLOW_HOME := $(CURDIR)/.airflow
# Container images often set PYTHONDONTWRITEBYTECODE. Every process would then compile Airflow again, which takes seconds.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
INPUTS := pyproject.toml airflow_provider_mirakl/__init__.py
PINS := constraints/airflow-$(AIRFLOW).txt

# The first Python that works; a shim of a version manager may exist and yet not run.
# $(call python,<upper bound, exclusive>)
python = $(or $(PYTHON),$(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < $(1))' >/dev/null 2>&1 \
	&& { echo $$p; break; }; done),$(error no Python from 3.11 to below $(1) with the venv module was found: \
	install one, or name it with PYTHON=...))

# Airflow 2.11 does not install on Python 3.13, and 3.0 only by building its SQLAlchemy.
python_below = $(if $(filter 2.% 3.0.%,$(1)),(3$(comma) 13),(3$(comma) 14))
comma := ,

# $(call make_venv,<folder>,<airflow version>): an empty environment with uv, from pip.
define make_venv
	@mkdir -p $(CACHE)/tmp
	rm -rf $(1)
	$(call python,$(call python_below,$(2))) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --constraint constraints/tools.txt uv
endef

# $(call uv_install,<folder>,<airflow version>,<what>)
uv_install = $(1)/bin/uv pip install --quiet --python $(1)/bin/python --constraint constraints/airflow-$(2).txt \
	--build-constraints constraints/tools.txt apache-airflow==$(2) $(3)

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Environments are made once and then brought up to date in place.
.PRECIOUS: .venvs/airflow-%/.base .venvs/airflow-%/.test

# --- environments -----------------------------------------------------------------------------------------

.venv/.base:
	$(call make_venv,.venv,$(AIRFLOW))
	@touch $@

# What a user has: Airflow, the package and its sandbox. `make demo` needs no more.
.venv/.runtime: .venv/.base $(INPUTS) $(PINS)
	$(call uv_install,.venv,$(AIRFLOW),--editable '.[sandbox]')
	@touch $@

# What every example Dag needs.
.venv/.showcase: .venv/.runtime
	$(call uv_install,.venv,$(AIRFLOW),--editable '.[sandbox$(comma)parquet]')
	@touch $@

# What a developer has.
.venv/.dev: .venv/.runtime constraints/tools.txt
	$(call uv_install,.venv,$(AIRFLOW),--editable '.[sandbox$(comma)parquet]' \
		--constraint constraints/tools.txt --group dev --group build)
	@touch $@

.PHONY: venv
venv: .venv/.dev ## the development environment in .venv (newest Airflow)

.venvs/airflow-%/.base:
	$(call make_venv,$(@D),$*)
	@touch $@

.venvs/airflow-%/.test: .venvs/airflow-%/.base $(INPUTS) constraints/airflow-%.txt
	$(call uv_install,$(@D),$*,--editable '.[sandbox$(comma)parquet]' --group test)
	@touch $@

# --- tests ------------------------------------------------------------------------------------------------

.PHONY: test
test: .venv/.dev ## every test, on the newest Airflow
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) $(PYTEST_ARGS)

.PHONY: pictures
pictures: .venv/.dev ## the screenshots of the docs, taken in a browser
	MIRAKL_PICTURES=$(CURDIR)/docs/images $(BIN)/python -m pytest -m browser tests/airflow

.PHONY: matrix
matrix: $(MATRIX:%=matrix-%) ## every test on each Airflow of MATRIX

.PHONY: matrix-%
matrix-%: .venvs/airflow-%/.test
	.venvs/airflow-$*/bin/python -c 'import airflow; assert airflow.__version__ == "$*", airflow.__version__'
	.venvs/airflow-$*/bin/python -m pytest -p no:cacheprovider $(PYTEST_PARALLEL) $(PYTEST_ARGS)

.PHONY: chaos
chaos: .venv/.dev ## every operation while parts of Airflow are killed at random, checked against the sandbox ledger
	$(BIN)/python scripts/chaos.py $(CHAOS_ARGS)

.PHONY: fuzz
fuzz: .venv/.dev ## ten minutes of damaged files, replies, archives, connections, notes and triggers
	$(BIN)/python scripts/fuzz.py $(FUZZ_ARGS)

.PHONY: faults
faults: .venv/.dev ## every operation with every fault of the sandbox, in a worker and in the triggerer, and a record for the docs
	$(BIN)/python scripts/faults.py $(PYTEST_PARALLEL) $(FAULTS_ARGS)

.PHONY: mutants
mutants: .venv/.dev ## change one operator or constant at a time, and list the changes that no test notices
	$(BIN)/python scripts/mutants.py $(MUTANTS_ARGS)

# The providers beside which ours is measured.
.venvs/bench/.base:
	$(call make_venv,$(@D),$(AIRFLOW))
	@touch $@

.venvs/bench/.bench: .venvs/bench/.base $(INPUTS) $(PINS) constraints/bench.txt
	$(call uv_install,$(@D),$(AIRFLOW),--constraint constraints/bench.txt \
		--editable '.[sandbox$(comma)parquet]' --group test --group bench)
	@touch $@

.PHONY: bench
bench: .venvs/bench/.bench ## the benchmarks in a short form, and their figures in benchmarks/results.json
	.venvs/bench/bin/python benchmarks/ledger.py $(BENCH_ARGS)

# Celery, PostgreSQL's and Redis' drivers, and the file systems of object stores.
.venvs/fleet/.base:
	$(call make_venv,$(@D),$(AIRFLOW))
	@touch $@

.venvs/fleet/.fleet: .venvs/fleet/.base $(INPUTS) $(PINS)
	$(call uv_install,$(@D),$(AIRFLOW),--editable '.[sandbox$(comma)parquet]' --group test --group fleet --group stores)
	@touch $@

.PHONY: fleet
fleet: .venvs/fleet/.fleet ## Celery workers without a shared disk, triggerers, kill -9; needs postgresql and redis-server
	PATH="$(CURDIR)/.venvs/fleet/bin:$$PATH" .venvs/fleet/bin/python scripts/fleet.py $(FLEET_ARGS)

# Azurite is a program of Node: npm installs it into the cache.
AZURITE := 3.37.0

$(CACHE)/azurite/node_modules/.bin/azurite-blob:
	@command -v npm >/dev/null || { echo "make stores needs npm, for Azurite"; exit 1; }
	mkdir -p $(CACHE)/azurite
	npm install --silent --no-audit --no-fund --cache $(CACHE)/npm --prefix $(CACHE)/azurite azurite@$(AZURITE)

.PHONY: stores
stores: .venvs/fleet/.fleet $(CACHE)/azurite/node_modules/.bin/azurite-blob ## S3, Azure and Google as object stores
	PATH="$(CACHE)/azurite/node_modules/.bin:$$PATH" MIRAKL_STORES=azure,gcs \
		.venvs/fleet/bin/python -m pytest -p no:cacheprovider tests/airflow/stores $(PYTEST_ARGS)

# The oldest release of everything that pyproject.toml names, the rest as on the oldest Airflow's constraints.
.PHONY: lowest
lowest: ## every test on the lowest versions that pyproject.toml allows
	$(call make_venv,.venvs/lowest,2.11.2)
	$(BIN)/python scripts/lowest.py > .venvs/lowest/constraints.txt
	.venvs/lowest/bin/uv pip install --quiet --python .venvs/lowest/bin/python --resolution lowest-direct \
		--constraint .venvs/lowest/constraints.txt --build-constraints constraints/tools.txt \
		--editable '.[sandbox$(comma)parquet]' --group test
	.venvs/lowest/bin/python -m pytest -p no:cacheprovider $(PYTEST_PARALLEL) $(PYTEST_ARGS)

# Without pins: what breaks there breaks here next. Only Airflow's own packages may be pre-releases.
.PHONY: prerelease
prerelease: ## every test on the newest Airflow of all, pre-releases too: it may fail
	$(call make_venv,.venvs/prerelease,$(AIRFLOW))
	version=$$(.venvs/prerelease/bin/python -m pip index versions --pre apache-airflow | sed -n '1s/.*(\(.*\))/\1/p'); \
	.venvs/prerelease/bin/uv pip install --quiet --python .venvs/prerelease/bin/python \
		--build-constraints constraints/tools.txt --editable '.[sandbox$(comma)parquet]' --group test \
		apache-airflow==$$version apache-airflow-core==$$version 'apache-airflow-task-sdk>=1a0'
	.venvs/prerelease/bin/python -m airflow version
	.venvs/prerelease/bin/python -m pytest -p no:cacheprovider $(PYTEST_PARALLEL) $(PYTEST_ARGS)

# --- checks -----------------------------------------------------------------------------------------------

.PHONY: check
check: .venv/.dev ## lint, format, types, import rules, parse cost, wording, docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_imports.py
	$(BIN)/python scripts/check_user_code.py
	$(BIN)/python scripts/check_words.py
	$(MAKE) --no-print-directory docs

.PHONY: format
format: .venv/.dev ## fix what a tool can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: docs
docs: .venv/.dev ## the documentation site in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs docs/_build/html

# --- the package ------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv/.runtime ## a catalog goes through a real Airflow into a local Mirakl
	$(BIN)/python scripts/demo.py

.PHONY: airflow
airflow: .venv/.showcase ## a running Airflow with every example Dag and a local Mirakl, until Ctrl-C
	exec $(BIN)/mirakl-sandbox airflow --folder .demo-airflow --run

.PHONY: build
build: .venv/.dev ## wheel and sdist in dist/, checked
	rm -rf dist example_dags/out
	$(BIN)/uv build --quiet --python $(BIN)/python --build-constraints constraints/tools.txt --out-dir dist
	$(BIN)/python scripts/check_dist.py dist
	$(MAKE) --no-print-directory supply SUPPLY_ARGS="--offline $(SUPPLY_ARGS)"

# The environment after `pip install`: the wheel and its dependencies.
.venvs/user/.base: .venv/.base
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	@touch $@

.venvs/supply/.base: constraints/supply.txt
	$(call make_venv,$(@D),$(AIRFLOW))
	$(@D)/bin/uv pip install --quiet --python $(@D)/bin/python --constraint constraints/supply.txt --group supply
	@touch $@

.PHONY: supply
supply: .venvs/user/.base .venvs/supply/.base ## bill of materials, licenses and vulnerabilities of what dist/ installs
	$(BIN)/uv pip install --quiet --python .venvs/user/bin/python --constraint $(PINS) apache-airflow==$(AIRFLOW) \
		--reinstall-package airflow-provider-mirakl $(CURDIR)/dist/*.whl
	.venvs/supply/bin/python scripts/supply.py .venvs/user $(SUPPLY_ARGS)

.PHONY: smoke
smoke: build $(SMOKE:%=smoke-%) ## install the wheel in an empty environment for each Airflow of SMOKE, and run one Dag

.PHONY: smoke-%
smoke-%:
	$(call make_venv,.venvs/smoke-$*,$*)
	$(call uv_install,.venvs/smoke-$*,$*,"$$(ls $(CURDIR)/dist/*.whl)[sandbox]")
	cd /tmp && $(CURDIR)/.venvs/smoke-$*/bin/python -c 'import airflow_provider_mirakl as it; \
		assert "site-packages" in it.__file__, it.__file__'
	.venvs/smoke-$*/bin/python scripts/demo.py

.PHONY: lock
lock: .venv/.dev ## resolve the constraints files again
	$(BIN)/python scripts/lock.py $(VERSIONS)

.PHONY: clean
clean: ## remove everything that make has created
	rm -rf .venv .venvs .cache .airflow .demo .demo-airflow example_dags/out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		build dist docs/_build docs/reference
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Targets that people use: demo, install, test, check. They install everything they need into .venv and .envs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

LIVES ?= 2000
# Tests wait for processes and sockets about as long as they compute.
WORKERS ?= $(shell expr 2 '*' `getconf _NPROCESSORS_ONLN`)

.DEFAULT_GOAL := check
.PHONY: install install-all install-system uninstall-system dev clients recipes readers axe pictures locks demo test \
        test-readers lake spark s3rver test-lake faults soak budget lies lives lies-table mutants test-systemd browser lint types layers docs docs-check \
        check bench bench-quick bench-peers bench-lake clean

install: $(BIN)/mdata  ## creates .venv/bin/mdata with the core, the web pages and metrics

$(BIN)/mdata: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[web,prometheus]'
	@touch $@

install-all: $(VENV)/.all  ## also installs all optional packages

$(VENV)/.all: $(BIN)/mdata
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]'
	@touch $@

install-system:  ## as root: /opt/mdata, the user mdata, /var/lib/mdata, /etc/mdata; see docs/SCHEDULING.md
	sh systemd/install-system.sh

uninstall-system:
	sh systemd/uninstall-system.sh

dev: $(VENV)/.dev

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[web,prometheus,parquet,lake]' \
	    pytest pytest-xdist hypothesis mypy ruff import-linter cogapp
	@touch $(BIN)/mdata $@

# The official client and ccxt, which prove that the sandbox answers as the exchange does.
clients: .envs/clients/.ready

.envs/clients/.ready: constraints-clients.txt
	$(PYTHON) -m venv .envs/clients
	.envs/clients/bin/pip install --quiet --requirement constraints-clients.txt
	@touch $@

# What docs/howto.md uses besides mdata: pandas, Polars and DuckDB, too large for every user.
recipes: .envs/recipes/.ready

.envs/recipes/.ready: constraints-recipes.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .envs/recipes
	.envs/recipes/bin/pip install --quiet --constraint constraints.txt --requirement constraints-recipes.txt --editable .
	@touch $@

# What the system installation may run as root: the versions of constraints.txt with their hashes, without an index.
LOCK := .envs/locks/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --no-header --no-emit-index-url --no-emit-find-links --constraint constraints.txt

locks: .envs/locks/.ready  ## regenerates requirements*.lock after a change of constraints.txt
	$(LOCK) --extra web --extra prometheus pyproject.toml --output-file requirements.lock
	echo hatchling | $(LOCK) - --output-file requirements-build.lock

# Programs that read what mdata writes, freqtrade and the backtesters: 1.5 GiB, and minutes to install.
readers: .envs/readers/.ready

.envs/readers/.ready: constraints-readers.txt pyproject.toml
	$(PYTHON) -m venv .envs/readers
	.envs/readers/bin/pip install --quiet --requirement constraints-readers.txt --editable .
	@touch $@

test-readers: dev recipes readers browser axe  ## tests freqtrade and a backtester with files that mdata wrote
	$(BIN)/python -m pytest -m readers

# Object stores on loopback, and engines that read a lake: with Spark 2.5 GiB, and minutes to install.
lake: .envs/lake/.ready

# An object store that ignores conditional puts, for the test that such a one is refused.
s3rver: .envs/s3rver/.ready

.envs/s3rver/.ready:
	mkdir -p .envs/s3rver
	cd .envs/s3rver && npm install --silent s3rver@3.7.1 && touch .ready

# Spark itself; it needs Java. It cannot share a folder with the client of Spark Connect, which has the same modules.
spark: .envs/spark/.ready

test-lake: dev recipes lake spark s3rver  ## publishers killed in an object store, its moods, and each engine's reading
	$(BIN)/python -m pytest -n $(WORKERS) -m lake tests/lake

demo: install
	$(BIN)/python demo/run.py

test: dev clients recipes
	$(BIN)/python -m pytest -n $(WORKERS)

# What the browser tests need; without it they are skipped, and say so.
browser:
	@command -v chromium >/dev/null || \
	    { apt-get -q update && apt-get -q install --yes --no-install-recommends chromium; } >/dev/null

# Checks the accessibility of web pages; not in the repository, because its licence differs.
axe: .envs/axe/.ready

.envs/axe/.ready:
	mkdir -p .envs/axe
	cd .envs/axe && npm pack --silent axe-core@4.10.3 >/dev/null && tar xzf axe-core-4.10.3.tgz && touch .ready

pictures: dev browser  ## retakes the screenshots in docs/pictures
	PYTHONPATH=tests/helpers $(BIN)/python tests/pictures.py

test-systemd: dev  ## tests the units with a real systemd, including the slow tests (as root)
	$(BIN)/python -m pytest -n 2 -m '' tests/timers/test_systemd.py tests/timers/test_system_install.py

# Beside tests/faults, the tests that count kills, power cuts and hostile answers.
FAULTS := tests/faults tests/running/test_kill.py tests/running/test_power_cut.py tests/exchange/test_rest.py tests/jobs/test_backfill.py

faults: dev  ## all fault tests, including the long ones; writes the figures of docs/reliability.md; 20 minutes
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not soak and not systemd' --junit-xml=.faults.xml $(FAULTS); \
	    code=$$?; $(BIN)/python tests/faults/figures.py .faults.xml docs/reliability.md; exit $$code

soak: dev  ## hours of streaming in minutes; more with SOAK_HOURS=24
	$(BIN)/python -m pytest -m soak -rP tests

lives: dev  ## 2,000 random lives with an exchange that lies, and the figures; fewer with LIVES=100
	rm -rf .lives && mkdir .lives
	LIVES=$(LIVES) LIVES_FIGURES=$(CURDIR)/.lives $(BIN)/python -m pytest -n auto -m lives tests/proof/test_stateful.py; \
	    code=$$?; PYTHONPATH=tests/helpers $(BIN)/python tests/lives.py .lives; exit $$code

lies: dev  ## every wrong answer at every stage of a store; `make test` runs a part of them
	$(BIN)/python -m pytest -n $(WORKERS) -m "not soak and not systemd" tests/proof/test_lies.py tests/proof/test_change_of_mind.py tests/proof/test_said.py \
	    tests/streaming/test_stream_lies.py

lies-table: dev  ## writes the tables of docs/reliability.md
	PYTHONPATH=tests/helpers $(BIN)/python tests/lies_table.py docs/reliability.md

mutants: dev .envs/mutants/.ready  ## mutates the rules line by line and checks that a test fails; resumable
	sh tests/mutants/run.sh

budget: dev  ## eight processes at the exchange's real limit: three times ten minutes, and the hour after a refusal
	$(BIN)/python -m pytest -m soak -rP tests/test_shared_budget.py

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: dev
	$(BIN)/mypy

layers: dev
	$(BIN)/lint-imports

DOCS := README.md $(sort $(wildcard docs/*.md))

docs: dev  ## regenerates every help text, table and screen in the docs
	$(BIN)/cog -r -U -I docs --verbosity=1 $(DOCS)

docs-check: dev
	$(BIN)/cog --check --diff -I docs --verbosity=1 --check-fail-msg='run make docs' $(DOCS)

check: lint types layers docs-check test

bench: .envs/bench/.ready  ## writes docs/performance.md
	.envs/bench/bin/pip install --quiet --no-deps --force-reinstall .
	.envs/bench/bin/python -m bench

bench-quick: .envs/bench/.ready  ## without the large store; writes nothing
	.envs/bench/bin/pip install --quiet --no-deps --force-reinstall .
	.envs/bench/bin/python -m bench --quick

# mdata as users install it, and what it is compared with.
.envs/bench/.ready: pyproject.toml constraints.txt constraints-bench.txt
	$(PYTHON) -m venv .envs/bench
	.envs/bench/bin/pip install --quiet --constraint constraints.txt --requirement constraints-bench.txt .
	@touch $@

bench-peers: .envs/bench/.ready .envs/peers/.ready .envs/peers-old/.ready  ## writes docs/performance-peers.md
	.envs/bench/bin/pip install --quiet --no-deps --force-reinstall .
	.envs/bench/bin/python -m bench.peers

bench-lake: dev recipes lake spark  ## writes docs/performance-lake.md
	$(BIN)/python -m bench.lake

.envs/%/.ready: constraints-%.txt
	$(PYTHON) -m venv .envs/$*
	.envs/$*/bin/pip install --quiet --requirement $<
	@touch $@

clean:
	rm -rf $(VENV) .envs .lives .mutants build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

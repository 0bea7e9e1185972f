# Targets that people use: demo, install, test, check. Everything they need they install into .venv and .envs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

LIVES ?= 2000

.DEFAULT_GOAL := check
.PHONY: install install-all install-system uninstall-system dev clients recipes readers axe pictures locks demo test \
        test-readers faults soak budget lies lives lies-table mutants test-systemd browser lint types layers docs docs-check \
        check bench bench-quick bench-peers clean

install: $(BIN)/mdata  ## leaves .venv/bin/mdata ready to use: core, page and metrics

$(BIN)/mdata: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[web,prometheus]'
	@touch $@

install-all: $(VENV)/.all  ## what the wheel leaves to choose, too

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
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[web,prometheus,parquet]' \
	    pytest pytest-xdist hypothesis mypy ruff import-linter cogapp
	@touch $(BIN)/mdata $@

# The official client and ccxt, which prove that the sandbox answers as the exchange does.
clients: .envs/clients/.ready

.envs/clients/.ready: constraints-clients.txt
	$(PYTHON) -m venv .envs/clients
	.envs/clients/bin/pip install --quiet --requirement constraints-clients.txt
	@touch $@

# What docs/howto.md uses beside mdata: pandas, Polars and DuckDB are too large to be everybody's.
recipes: .envs/recipes/.ready

.envs/recipes/.ready: constraints-recipes.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .envs/recipes
	.envs/recipes/bin/pip install --quiet --constraint constraints.txt --requirement constraints-recipes.txt --editable .
	@touch $@

# What the system installation may run as root: the versions of constraints.txt, by their hashes, from no named index.
LOCK := .envs/locks/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --no-header --no-emit-index-url --no-emit-find-links --constraint constraints.txt

locks: .envs/locks/.ready  ## writes requirements*.lock anew, after a change of constraints.txt
	$(LOCK) --extra web --extra prometheus pyproject.toml --output-file requirements.lock
	echo hatchling | $(LOCK) - --output-file requirements-build.lock

# Those who read what mdata writes, freqtrade and the backtesters: 1.5 GiB, and minutes to install.
readers: .envs/readers/.ready

.envs/readers/.ready: constraints-readers.txt pyproject.toml
	$(PYTHON) -m venv .envs/readers
	.envs/readers/bin/pip install --quiet --requirement constraints-readers.txt --editable .
	@touch $@

test-readers: dev recipes readers browser axe  ## what freqtrade and a backtester make of what mdata writes
	$(BIN)/python -m pytest -m readers

demo: install
	$(BIN)/python demo/run.py

test: dev clients recipes
	$(BIN)/python -m pytest -n auto

# What the browser tests want; without it they skip, and say so.
browser:
	@command -v chromium >/dev/null || \
	    { apt-get -q update && apt-get -q install --yes --no-install-recommends chromium; } >/dev/null

# What looks at pages as people with hindrances meet them; not in the repository, for its licence is another.
axe: .envs/axe/.ready

.envs/axe/.ready:
	mkdir -p .envs/axe
	cd .envs/axe && npm pack --silent axe-core@4.10.3 >/dev/null && tar xzf axe-core-4.10.3.tgz && touch .ready

pictures: dev browser  ## takes the pictures of docs/pictures anew
	PYTHONPATH=tests/helpers $(BIN)/python tests/pictures.py

test-systemd: dev  ## what a real systemd does with the units, the slow part included (as root)
	$(BIN)/python -m pytest -n 2 -m '' tests/test_systemd.py tests/test_system_install.py

# Beside tests/faults, the tests that count kills, power cuts and hostile answers.
FAULTS := tests/faults tests/test_kill.py tests/test_power_cut.py tests/test_rest.py tests/test_backfill.py

faults: dev  ## all that must be survived, the long part included; writes the figures of docs/reliability.md; 20 minutes
	$(BIN)/python -m pytest -n auto -m 'not soak and not systemd' --junit-xml=.faults.xml $(FAULTS); \
	    code=$$?; $(BIN)/python tests/faults/figures.py .faults.xml docs/reliability.md; exit $$code

soak: dev  ## hours of streaming in minutes; more with SOAK_HOURS=24
	$(BIN)/python -m pytest -m soak -rP tests

lives: dev  ## 2,000 random lives with an exchange that lies, and the figures; fewer with LIVES=100
	rm -rf .lives && mkdir .lives
	LIVES=$(LIVES) LIVES_FIGURES=$(CURDIR)/.lives $(BIN)/python -m pytest -n auto -m lives tests/test_stateful.py; \
	    code=$$?; PYTHONPATH=tests/helpers $(BIN)/python tests/lives.py .lives; exit $$code

lies: dev  ## each lie at each place in the life of a store; a part of it is in `make test`
	$(BIN)/python -m pytest -n auto -m "not soak and not systemd" tests/test_lies.py tests/test_change_of_mind.py tests/test_said.py \
	    tests/test_stream_lies.py

lies-table: dev  ## writes the tables of docs/reliability.md
	PYTHONPATH=tests/helpers $(BIN)/python tests/lies_table.py docs/reliability.md

mutants: dev .envs/mutants/.ready  ## changes the rules a line at a time and sees whether a test notices; resumable
	sh tests/mutants/run.sh

budget: dev  ## eight processes at the exchange's true limit: ten minutes three times, and the hour after a refusal
	$(BIN)/python -m pytest -m soak -rP tests/test_shared_budget.py

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: dev
	$(BIN)/mypy

layers: dev
	$(BIN)/lint-imports

DOCS := README.md $(sort $(wildcard docs/*.md))

docs: dev  ## writes every help text, table and screen in the docs anew
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

.envs/%/.ready: constraints-%.txt
	$(PYTHON) -m venv .envs/$*
	.envs/$*/bin/pip install --quiet --requirement $<
	@touch $@

clean:
	rm -rf $(VENV) .envs .lives .mutants build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

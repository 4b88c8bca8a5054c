# make demo       install once, start the page, print its address (PORT=7860 HOST=127.0.0.1)
# make test       install once, run every test (ARGS="-k chain" for a few)
# make lint       ruff's checks and format; make format repairs what it can
# make space REPO=name   put the page on a Hugging Face Space
# make clean      remove the environment and the caches

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
export HOST ?= 127.0.0.1
export PORT ?= 7860
# Processes that share the tests; each needs about 3 GB.
WORKERS ?= 2

# Stamps: an installation is repeated when its list of requirements changes, and only then.
DEMO := $(VENV)/demo.stamp
TESTS := $(VENV)/tests.stamp

.PHONY: help demo test lint format space named browser clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(DEMO)
	@exec $(BIN)/python -u app.py

test: $(TESTS) browser
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(TESTS)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

format: $(TESTS)
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

space: named $(DEMO)
	@$(BIN)/python -m demo.space "$(REPO)"

named:
	@test -n "$(REPO)" || { echo "Which Space? make space REPO=name (or REPO=owner/name)" >&2; exit 2; }

browser:
	@sh tests/chromium.sh

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version 2>&1). Name another: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(DEMO): requirements.txt | $(BIN)/python
	@echo "Installing what the page needs (once, about a minute) ..."
	@$(PIP) install --quiet -r requirements.txt
	@touch $@

$(TESTS): requirements.txt requirements-train.txt requirements-mcp.txt requirements-dev.txt | $(BIN)/python
	@echo "Installing what the tests need (once, about a minute) ..."
	@$(PIP) install --quiet -r requirements-dev.txt
	@touch $@ $(DEMO)

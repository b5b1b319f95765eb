# `make` sets up and runs the default study; `make test` sets up and runs every check.
# Needs Python 3.11, make and git; everything is installed into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
LOCK := envs/requirements.lock
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run setup test
run: setup
	snakemake --quiet rules progress host -- estimate
	snakemake all
	@echo "Tables, figures and logs are in $(CURDIR)/results/."

# The lock file is copied beside the packages it installed, so that only a change installs again.
setup:
	@cmp -s $(LOCK) .venv/installed.lock || { \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet -r $(LOCK) && \
		cp $(LOCK) .venv/installed.lock; }

test: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	pytest

# `make` sets up and runs the default study; `make check` looks at the code in a minute or two,
# `make test` runs every check. Needs Python 3.11, make and git; everything goes into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
LOCK := envs/requirements.lock
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What depends on the same target runs side by side: types beside tests.
MAKEFLAGS += --jobs=2

.PHONY: run setup place lint types units suite check test test-slurm test-storage test-faults test-provenance
run: setup
	snakemake --quiet rules progress host -- estimate
	snakemake all
	@echo "Tables, figures and logs are in $(CURDIR)/results/."

# Snakemake names its Python in a shell's command without quotes and takes braces for a wildcard;
# a virtual environment has no colon in its path.
place:
	@case "$$(pwd -P)" in (*[[:space:]\'\"\`\$$\&\|\;\<\>\(\)\{\}\*\?\\:]*) \
		printf '%s: %s %s %s\n' "$$(pwd -P)" "the path of this folder has a blank or one of" \
			"' \" \` $$ & | ; < > ( ) { } * ? \\ :" \
			"in it, with which no job can run: move or rename it." >&2; exit 1;; esac

# The lock file is copied beside the packages it installed, so that only a change installs again.
setup: place
	@cmp -s $(LOCK) .venv/installed.lock || { \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet -r $(LOCK) && \
		cp $(LOCK) .venv/installed.lock; }

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow

types: setup
	mypy

# Tests that load no model.
units: setup
	pytest tests/unit -m "not model"

check: lint types units

test: lint types suite

suite: lint
	snakemake --lint
	pytest

# Not in `test`: needs root and `apt-get install slurm-wlm munge`.
test-slurm: setup
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r envs/slurm.lock
	PYTHONPATH=workflow/src:tests $(BIN)/python tests/slurm/check.py

# Not in `test`: packages of its own, and a server that stands for an object storage.
test-storage: setup
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r envs/storage.lock moto[server]==5.2.5
	PYTHONPATH=workflow/src:tests $(BIN)/python tests/storage/check.py

# Not in `test`: about half an hour of kills, full disks and little memory; `KILLS=60` is shorter.
KILLS ?= 240
test-faults: setup
	OMP_NUM_THREADS=1 PYTHONPATH=workflow/src:tests $(BIN)/python tests/faults/check.py --kills $(KILLS)

# Not in `test`: the validator has packages of its own, in other versions than the lock's.
test-provenance: setup
	$(PYTHON) -m venv .venv/provenance
	.venv/provenance/bin/python -m pip install --disable-pip-version-check --quiet \
		-r envs/provenance.lock
	PYTHONPATH=workflow/src:tests $(BIN)/python tests/provenance/check.py \
		.venv/provenance/bin/python

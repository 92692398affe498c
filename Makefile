# Every target makes what it needs; `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The CPU build is enough for everything here. Point this at a CPU-only source where the registry's default is CUDA:
#   make demo TORCH_INSTALL="torch==2.13.0 --index-url URL-OF-A-CPU-ONLY-INDEX"
TORCH_INSTALL ?= torch==2.13.0
EXTRAS ?= forge
DEMO_OUTPUT ?= demo-output
WORKERS ?= 2

.PHONY: setup setup-dev demo test lint check docs bench replicate soak clean

setup: $(VENV)/.forge.installed

setup-dev: $(VENV)/.dev.installed

$(VENV)/.torch.installed:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "vecsmith needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.11" && exit 1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_INSTALL)
	touch $@

$(VENV)/.forge.installed: $(VENV)/.torch.installed pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	touch $@

$(VENV)/.dev.installed: $(VENV)/.torch.installed pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@ $(VENV)/.forge.installed

demo: setup
	$(BIN)/vecsmith demo --output $(DEMO_OUTPUT)

test: setup-dev
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

docs: setup-dev
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict --quiet

bench: setup-dev
	$(BIN)/python benchmarks/run_all.py

replicate: setup-dev
	$(BIN)/vecsmith replicate all
	$(BIN)/vecsmith methods

soak: setup-dev
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache .hypothesis

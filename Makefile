# `make` lists the targets. The first one run creates .venv, which takes a minute or two.
#
#   make test VENV=path   uses an existing environment as it is, with composer installed in it
#   make test ARGS="-k shapes"   hands arguments to pytest
#   EXTRAS=dev            installs fewer of the extras of pyproject.toml into .venv

VENV ?= .venv
PYTHON ?= python3
EXTRAS ?= dev,parity,docs,mkdocs,watch,browser,plot,train,digits,huggingface,quantize,onnx
BIN := $(VENV)/bin
# Errors are still printed; progress and notices are not.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

ifeq ($(VENV),.venv)
READY := $(VENV)/.ready-$(EXTRAS)
DOCS_READY := $(VENV)/.ready-docs
endif

.DEFAULT_GOAL := help
.PHONY: help demo test meshes scaling crashes lint format docs bench parity exports numbers widths digits golden clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## from a spec to a running model, its source and its diagram
	@$(BIN)/python examples/demo.py

test: $(READY) ## run all tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

meshes: $(READY) ## train on more meshes of several processes
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --all-meshes tests/parallel/test_meshes.py

scaling: $(READY) ## build every model that the tests of scaling find
	$(BIN)/python -m pytest -n 2 --all-sizes tests/scaling

crashes: $(READY) ## kill training runs hundreds of times; each must end as if it never was
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.training.crashes $(ARGS)

lint: $(READY) ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY) ## format the code and apply safe fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(READY) $(DOCS_READY) ## build the site into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(READY) ## measure speed and memory
	$(BIN)/python -m bench

parity: $(READY) ## compare every family with transformers and write the table of the docs
	$(BIN)/python -m tests.parity.table docs/reference/parity.md

exports: $(READY) ## export every spec, compare, and write the table of the docs
	$(BIN)/python -m tests.exports.table docs/reference/export.md

numbers: $(READY) ## compare costs with what torch counts and holds, and write the table of the docs
	$(BIN)/python -m tests.numbers.table docs/reference/measured.md

widths: $(READY) ## the best learning rate by width, with and without mup
	@$(PIP) install -e ".[plot,digits]" -c constraints.txt
	$(BIN)/python -m bench.learning_rates --out build/learning_rates.svg

digits: $(READY) ## run the campaigns on digits and write their page of the docs
	@OMP_NUM_THREADS=1 $(BIN)/python -m bench.digits $(ARGS)

golden: $(READY) ## rewrite the golden files; review them with git diff
	$(BIN)/python -m pytest -n 2 --update $(ARGS)

clean: ## remove .venv and everything built
	rm -rf .venv build dist docs/_build docs/_generated .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each list of extras that is installed. torch comes first and by itself, at its
# pinned version, so that nothing else chooses a build of it.
$(VENV)/.ready-%: pyproject.toml constraints.txt
	@echo "Installing $* into $(VENV) ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(PIP) install "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	@$(PIP) install -e ".[$*]" -c constraints.txt
	@touch $@

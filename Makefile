# make demo and make test are all that a newcomer needs: Python >= 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# what `make e2e` builds once; E2E: further arguments of its pytest, such as E2E=--fail-on-skip
CONTROL_PLANE := etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok

# $(call play,MARKERS): these scenarios, in two processes beside each other
define play
@if command -v go >/dev/null; then $(BIN)/python tests/e2e/binaries.py $(CONTROL_PLANE); fi
@$(BIN)/python -m pytest tests/e2e -m '$(1)' -n 2 --dist loadfile --no-loadscope-reorder $(E2E)
endef

.DEFAULT_GOAL := help
.PHONY: help setup rivals demo test lint bench e2e e2e-controller lock clean

help: ## list the verbs
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the locked dependencies, once

# $(call install,ARGUMENTS): with uv where present, else with pip
install = if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python $(1); \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check $(1); fi

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: $(PYTHON) is $$($(PYTHON) -V 2>&1), must be 3.11 or newer; pass PYTHON=/path/to/python3.11" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then \
	  echo "setup: .venv with uv (locked dependencies, about 15 s)"; \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV); \
	else \
	  echo "setup: .venv with venv and pip (locked dependencies, about a minute)"; \
	  $(PYTHON) -m venv $(VENV); \
	fi
	@$(call install,--require-hashes -r requirements.lock)
	@$(call install,--no-deps --no-build-isolation -e .)
	@touch $(STAMP)
	@echo "setup: done"

rivals: $(VENV)/.rivals ## add the forecasting models that rival autoscalers use, once

$(VENV)/.rivals: requirements-rivals.lock | $(STAMP)
	@echo "setup: the extra rivals (statsforecast, statsmodels; about 15 s with uv, 40 s with pip)"
	@$(call install,--require-hashes -r requirements-rivals.lock)
	@touch $@

demo: setup ## one hour of recorded production demand, the HPA beside leadtime: table and HTML report
	@$(BIN)/leadtime demo

test: setup rivals ## every test that needs no cluster
	@$(BIN)/python -m pytest

lint: setup ## ruff, mypy --strict, the import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: setup ## measure: one table per benchmark
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit $$?; done

e2e: setup ## adapter and HPA on a real control plane (needs Go; the first run builds it, about 20 minutes)
	$(call play,not controller)

e2e-controller: setup ## the controller on a real control plane
	$(call play,controller)

lock: ## resolve the lock files anew (needs uv)
	uv pip compile pyproject.toml --group dev --extra gke --extra otel --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements.lock
	uv pip compile pyproject.toml --extra rivals --constraints requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements-rivals.lock
	for image in adapter controller; do \
	  uv pip compile requirements-$$image.in --constraints requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header -o requirements-$$image.lock || exit $$?; done

clean: ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# aimctl: every target makes the environment it needs. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# One more than the two cores the suite is sized for: many tests wait for other processes most of the time.
JOBS   ?= 3
# Files stay whole, so that tests share what a file sets up; those that wait much are spread among those that compute.
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder
export PYTHONDONTWRITEBYTECODE ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-envtest lint format types contracts manifests check-manifests bench bench-scale lock clean ci

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "aimctl needs Python 3.11 or newer, this is %d.%d: set PYTHON=python3.11" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "this Python has no venv module: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "making the environment in $(VENV) (about half a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(STAMP) ## start the embedded cluster and the manager, apply the samples, watch them become Ready
	@$(BIN)/python hack/demo.py

test: $(STAMP) ## every test that needs nothing beyond the package index
	$(BIN)/python -m pytest $(SPREAD) test/unit test/integration test/e2e

test-envtest: $(STAMP) ## the same integration and e2e suite against a real etcd, kube-apiserver and controller-manager
	@test -n "$$AIMCTL_TEST_KUBECONFIG" || bash hack/build-kubernetes.sh
	AIMCTL_TEST_SERVER=real $(BIN)/python -m pytest $(SPREAD) test/envtest test/e2e

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict: the package, and code that uses it
	$(BIN)/mypy src/aimctl test/typing docs/examples

contracts: $(STAMP) ## the rooms' import rules
	$(BIN)/lint-imports

manifests: $(STAMP) ## write config/ from the Python types
	$(BIN)/python -m aimctl.api.generate config

check-manifests: manifests ## fail when config/ is not what the types say
	@git diff --exit-code -- config || { echo "config/ differs from the types: commit what 'make manifests' wrote" >&2; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- config)" || { echo "config/ has files git does not know: add them" >&2; exit 1; }

bench: $(STAMP) ## sync and updates of 20,000 templates beside kopf (BENCH_ARGS=--help for options)
	@$(BIN)/python test/bench/run.py $(BENCH_ARGS)

bench-scale: $(STAMP) ## what a service costs the operator, among 200 and among 2,000 (BENCH_ARGS=--help for options)
	@$(BIN)/python test/bench/scale.py $(BENCH_ARGS)

lock: ## renew requirements.lock from pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras pyproject.toml -o requirements.lock

clean: ## remove what the targets made
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

ci: test lint types contracts check-manifests test-envtest ## all that has to hold before a change lands

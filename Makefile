# aimctl: every target first creates the environment that it needs. `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# One more than the two cores that the suite is sized for, because many tests mostly wait for other processes.
JOBS   ?= 3
# `make commits` checks the commits that this revision does not have.
BASE   ?= main
SOAK_MINUTES ?= 30
# Of test-kills.
RUNS ?= 50
# Here the API servers of the end-to-end tests log the requests of the manager's account.
AUDIT  := $(CURDIR)/$(VENV)/audit
# The tests of a file run in one process, so that they share its fixtures. Files that wait are mixed with files that compute.
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# Compiled modules are kept outside of the source tree, and shared by all processes that the tests start.
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/$(VENV)/pycache
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-proofs test-downloads test-install test-image test-envtest test-kserve test-clients test-kills test-soak test-storm test-load test-alerts test-observe simulate simulate-long sieve mutants mutants-record conformance conformance-record lint format types public-types contracts commits kinds manifests check-manifests docs docs-diagrams docs-dashboard docs-site demo-picture checklist bench bench-scale lock clean ci

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "aimctl needs Python 3.11 or newer, this is %d.%d: set PYTHON=python3.11" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "this Python has no venv module: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "creating the environment in $(VENV) (about half a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(STAMP) ## run the embedded cluster and the operator, apply the samples, show them become Ready
	@$(BIN)/python hack/demo.py

test: $(STAMP) ## run every test that needs only Python
	$(BIN)/python -m pytest $(SPREAD) -m "not proof" test/e2e test/integration test/unit

test-proofs: $(VENV)/.pyright ## the long-running tests: large property-test budgets, long simulations
	$(BIN)/python -m pytest $(SPREAD) --timeout 900 -m proof test/e2e test/integration test/unit

test-downloads: $(STAMP) ## run the download program with real versions of huggingface_hub and boto3, on loopback
	$(BIN)/python -m pytest -n $(JOBS) --timeout 600 test/downloads

test-install: $(STAMP) ## install the wheel and the operator in three ways on a real API server, run, upgrade and remove it
	@test -n "$$KUBEBUILDER_ASSETS" || bash hack/build-kubernetes.sh
	$(BIN)/python -m pytest -n 0 --timeout 600 test/install

test-image: $(STAMP) ## build the image with Debian's buildah, and run the manager from it (root; apt-get install buildah debootstrap)
	$(BIN)/python -m pytest -n 0 test/image

test-envtest: $(STAMP) ## run the integration and e2e tests on a real etcd, kube-apiserver and controller-manager, and check the manager's roles
	@test -n "$$AIMCTL_TEST_KUBECONFIG" || bash hack/build-kubernetes.sh
	@rm -rf $(AUDIT)
	AIMCTL_AUDIT=$(AUDIT) AIMCTL_TEST_SERVER=real $(BIN)/python -m pytest $(SPREAD) --ignore=test/e2e/test_tutorial.py test/envtest test/e2e
	@test -n "$$AIMCTL_TEST_KUBECONFIG" || PYTHONPATH=test $(BIN)/python -m support.audit $(AUDIT)

test-kserve: $(STAMP) ## run the operator with KServe's own manager on a real API server (skipped without Go)
	@bash hack/build-kubernetes.sh
	@bash hack/build-kserve.sh || test $$? -eq 3
	$(BIN)/python -m pytest -n 0 test/kserve

test-clients: $(STAMP) ## run tours of client libraries, Helm and operators of other frameworks on the embedded and the real API server
	@bash hack/build-kubernetes.sh
	$(BIN)/python -m pytest -n 0 -p no:randomly --timeout 900 test/clients

test-kills: $(STAMP) ## kill managers and cut their connections on a real API server, RUNS=50 times (KILLS_ARGS=--help for options)
	@bash hack/build-kubernetes.sh
	@$(BIN)/python test/kills/run.py --runs $(RUNS) $(KILLS_ARGS)

test-soak: $(STAMP) ## run managers on a real kube-apiserver with faults for SOAK_MINUTES=30 (SOAK_ARGS=--help for options)
	@test -n "$$KUBEBUILDER_ASSETS" || bash hack/build-kubernetes.sh
	@$(BIN)/python test/soak/run.py --minutes $(SOAK_MINUTES) $(SOAK_ARGS)

test-load: $(STAMP) ## measure what a flood of the protected metrics port costs the reconciles and the Lease (LOAD_ARGS=--help for options)
	@$(BIN)/python test/load/run.py $(LOAD_ARGS)

test-alerts: $(STAMP) ## test the alert rules with promtool, which is taken from Debian's package if it is missing
	@tool="$$(hack/prometheus.sh promtool)" && PROMTOOL="$$tool" $(BIN)/python -m pytest -n 0 test/unit/docs/test_docs_runbook.py

test-observe: $(STAMP) ## cause the fault behind every alert in a running system, scraped by a real Prometheus, run the dashboard's queries, and use the status page in Chromium
	@tool="$$(hack/prometheus.sh promtool)" && server="$$(hack/prometheus.sh prometheus)" && browser="$$(hack/chromium.sh)" && \
	PROMTOOL="$$tool" PROMETHEUS="$$server" CHROMIUM="$$browser" $(BIN)/python -m pytest -n 0 -p no:randomly --timeout 600 test/observe

# matplotlib and numpy are needed by no other target.
$(VENV)/.charts: $(STAMP) requirements-charts.lock
	@echo "installing matplotlib in $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-charts.lock
	@touch $@

docs-dashboard: $(VENV)/.charts ## write docs/dashboard.md, and draw its pictures from the last run of make test-observe
	@$(BIN)/python hack/dashboard_page.py
	@$(BIN)/python hack/dashboard_charts.py

test-storm: $(STAMP) ## run SEEDS=300 random virtual hours of the operator, or one of them with its trace: SEED=17
	@$(BIN)/python test/storm/run.py $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),300)) $(STORM_ARGS)

simulate: $(STAMP) ## run SEEDS=2000 simulated runs of the operator with faults, or one of them with its trace: SEED=17
	@$(BIN)/python test/simulate/run.py $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000)) $(SIMULATE_ARGS)

simulate-long: $(STAMP) ## the same with 100,000 seeds, which takes hours
	@$(BIN)/python test/simulate/run.py --seeds 100000 $(SIMULATE_ARGS)

conformance: $(STAMP) ## compare the embedded API server with recorded responses of a real one, or these with a server: CONFORMANCE_SERVER=real
	@test "$$CONFORMANCE_SERVER" != real || test -n "$$KUBEBUILDER_ASSETS" || bash hack/build-kubernetes.sh
	@PYTHONPATH=test $(BIN)/python -m conformance $(CONFORMANCE_ARGS)

conformance-record: $(STAMP) ## record the responses of a real kube-apiserver for make conformance
	@test -n "$$KUBEBUILDER_ASSETS" || bash hack/build-kubernetes.sh
	@PYTHONPATH=test $(BIN)/python -m conformance --record $(CONFORMANCE_ARGS)

sieve: $(STAMP) ## crash the manager before and after every write, serve old states, and lose events, in the standard scenarios (ONLY=caching/crash-after, SAMPLE=10 for every crash and one of ten others, JOBS=2)
	@PYTHONHASHSEED=0 $(BIN)/python test/sieve/run.py --only "$(ONLY)" --sample $(or $(SAMPLE),1) --jobs $(or $(JOBS),2)

mutants: $(STAMP) ## check that the patterns of `make sieve` detect each defect in test/sieve/mutants.py (ONLY=lease, SAMPLE=5, JOBS=2)
	@PYTHONHASHSEED=0 $(BIN)/python test/sieve/run_mutants.py --only "$(ONLY)" --sample $(or $(SAMPLE),1) --jobs $(or $(JOBS),2)

mutants-record: $(STAMP) ## search the detection of each defect again, and write the table in docs/simulation.md (ONLY=lease)
	@PYTHONHASHSEED=0 $(BIN)/python test/sieve/run_mutants.py --record --only "$(ONLY)" --jobs $(or $(JOBS),2)

lint: $(STAMP) ## check rules and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## check types with mypy in strict mode
	$(BIN)/mypy src/aimctl test/typing docs/examples

# pyright brings Node.js, 206 MB that no other target needs.
$(VENV)/.pyright: $(STAMP) requirements-public-types.lock
	@echo "installing pyright and Node.js in $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-public-types.lock
	@touch $@

public-types: $(VENV)/.pyright ## check with pyright that every public name of the library has a complete type
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes aimctl.runtime --ignoreexternal
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes aimctl.operator --ignoreexternal

contracts: $(STAMP) ## check which package may import which
	$(BIN)/lint-imports

commits: $(STAMP) ## check the commit messages since BASE (default: main)
	@$(BIN)/python hack/check_commits.py $(BASE)

kinds: $(STAMP) ## write the types of the built-in kinds in src/aimctl/kubetypes/k8s
	$(BIN)/python hack/typed_kinds.py

manifests: $(STAMP) ## generate config/ and charts/ from the Python types
	$(BIN)/python -m aimctl.installation .

check-manifests: manifests ## fail if config/ or charts/ differ from what the types generate
	@git diff --exit-code -- config charts || { echo "config/ or charts/ differ from the types: commit what 'make manifests' generated" >&2; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- config charts)" || { echo "config/ or charts/ have files that are not in git: add them" >&2; exit 1; }

docs: $(STAMP) docs-diagrams ## write the references of library and operator, the diagrams, and docs/api-conformance.md
	@$(BIN)/python hack/reference.py
	@$(BIN)/python hack/operator_reference.py
	@PYTHONPATH=test $(BIN)/python -m conformance --page

docs-diagrams: $(STAMP) ## draw the diagrams of docs/architecture.md from the import contracts
	@$(BIN)/python hack/diagrams.py

# Its tools are needed by no other target.
$(VENV)/.docs: $(STAMP) requirements-docs.lock
	@echo "installing mkdocs in $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

docs-site: $(VENV)/.docs ## build the documentation as a web site in .site, and check its links
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=hack $(BIN)/mkdocs build --strict --quiet
	@$(BIN)/python hack/check_site.py .site

demo-picture: $(STAMP) ## record the demo as docs/images/demo.svg
	@$(BIN)/python hack/demo_picture.py

checklist: $(STAMP) ## write docs/checklist.md from the labels of the tests
	@PYTHONPATH=test $(BIN)/python -m support.checklist

bench: $(STAMP) ## compare syncing 20,000 templates with kopf (BENCH_ARGS=--help for options)
	@$(BIN)/python test/bench/run.py $(BENCH_ARGS)

bench-scale: $(STAMP) ## measure the cost per service with 200 and 2,000 services (BENCH_ARGS=--help for options)
	@$(BIN)/python test/bench/scale.py $(BENCH_ARGS)

lock: ## update the lock files from pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(foreach extra,bench build lint test testing uvloop,--extra $(extra)) pyproject.toml -o requirements.lock
	cp requirements.lock requirements-docs.lock  # its versions are kept, because both are installed in one environment
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra docs pyproject.toml -o requirements-docs.lock
	echo 'pyright[nodejs]' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate - -o requirements-public-types.lock
	echo 'cyclonedx-bom' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate - -o requirements-sbom.lock
	echo 'matplotlib' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate - -o requirements-charts.lock

clean: ## remove everything that the targets created
	rm -rf $(VENV) .bench .site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

ci: ## run every check that a change must pass
	@bash .ci/run

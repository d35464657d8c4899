# Every routine of the project. A target does its own set-up: nothing but Python 3.11+, make and the package registries is assumed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEPLOY := $(VENV)/.deploy-ready

.PHONY: help serve test test-cluster sim lint format test-package bench bench-kafka bench-failover bench-limits bench-planner bench-requests bench-zones bench-moves bench-return chaos interop schemas minio setup clean
.DEFAULT_GOAL := help

help:            ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(DEPLOY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[deploy]'
	@touch $@

setup: $(READY)  ## Make the virtual environment with locked versions

serve: $(READY)  ## Serve Kafka on 127.0.0.1:9092, with ./raylog-data as the bucket
	$(BIN)/raylog serve $(ARGS)

test: $(DEPLOY)  ## Run the tests, but for the longer ones on real Ray
	$(BIN)/python -m pytest $(ARGS)

test-cluster: $(READY)  ## The longer ones on real Ray: several nodes, kills, drains, balance, scaling, restores, a corpus through kills
	$(BIN)/python -m pytest tests/cluster --ignore=tests/cluster/test_serve.py $(ARGS)

sim: $(READY)    ## Simulate whole clusters: make sim SEEDS=2000, or one again with its trace: make sim SEED=17
	$(BIN)/python -m tests.sim $(if $(SEED),--seed=$(SEED),--seeds=$(or $(SEEDS),200)) $(ARGS)

lint: $(READY)   ## Style, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format the sources and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## Throughput and latency, as a table and in docs/performance.md
	$(BIN)/python -m bench $(ARGS)

bench-kafka: $(READY)  ## The same beside Apache Kafka, interleaved (needs Java and Maven)
	$(BIN)/python -m bench --kafka $(ARGS)

bench-failover: $(READY)  ## From a leader's kill -9 to the first acknowledged write
	$(BIN)/python -m bench.failover $(ARGS)

bench-limits: $(READY)  ## What 10,000 partitions and 5,000 idle connections cost
	$(BIN)/python -m bench.many_partitions $(ARGS)
	$(BIN)/python -m bench.idle_connections $(ARGS)

bench-requests: $(READY)  ## Requests to the bucket per GiB at 1, 100 and 1,000 partitions, compaction included
	$(BIN)/python -m bench.requests $(ARGS)

bench-zones: $(READY)  ## Between zones: produce by the bucket beside produce to the leader, in milliseconds, bytes and requests
	$(BIN)/python -m bench.zones $(ARGS)

bench-moves: $(READY)  ## How long producers wait while 1 and 1,000 partitions move from leader to leader
	$(BIN)/python -m bench.moves $(ARGS)

bench-return: $(READY)  ## A whole cluster's return: 1,000 partitions and 100 GiB, from kill -9 to serving elsewhere
	$(BIN)/python -m bench.cluster_return $(ARGS)

test-package: $(READY) ## Build the wheel, install it into an empty environment, and serve from there
	$(BIN)/python -m pytest tests/package $(ARGS)

interop: $(READY) ## Clients of Java, Go and Node against a real server; ARGS='--languages java' for fewer
	$(BIN)/python -m pytest tests/interop $(ARGS)

bench-planner: $(READY)  ## The planner's time on 1,000 nodes and 100,000 partitions
	$(BIN)/python -m bench.planner $(ARGS)

chaos: $(READY)  ## Real kills under load, judged: make chaos STORE=folder|moto|minio MINUTES=30 SEED=17
	$(BIN)/python -m tests.chaos --store $(or $(STORE),folder) --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED)) $(ARGS)

schemas: $(DEPLOY)  ## Fetch anew what tests/deploy holds the manifests to (needs Go)
	$(BIN)/python -m tests.deploy.fetch_schemas

minio: $(READY)  ## Build MinIO into .cache, a real S3 server for tests (needs Go)
	$(BIN)/python -m tests.harness.minio

clean:           ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The Python that makes .venv: 3.10 to 3.13, for example `make install PYTHON=python3.12`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install dataflow demo flink flink-demo prism test lint types check lock clean

help:  ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: $(STAMP)  ## Make .venv with Tekizai, two small models and the development tools

$(STAMP): pyproject.toml constraints.txt tools/install.sh
	@bash tools/install.sh "$(PYTHON)"
	@touch $@

dataflow: install  ## Add Google's clients, with which the tests of Dataflow run too
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dataflow]'

demo: install  ## Label the sample reviews
	$(BIN)/tekizai run configs/demo.yaml --fresh

flink: install  ## Bring Flink and Beam's job server for it to the cache folder; needs Java and Maven
	@$(BIN)/python -m tools.flink_jars

flink-demo: flink  ## Label the sample reviews on a Flink cluster of three processes
	$(BIN)/python -m tools.flink_cluster -- $(BIN)/tekizai run configs/demo.yaml --fresh -- \
	  --runner=FlinkRunner --flink_master={master} --flink_job_server_jar={job_server} --parallelism=2 \
	  --environment_type=PROCESS --environment_config='{"command": "$(CURDIR)/$(BIN)/tekizai-worker"}'

prism: install  ## Build Beam's runner in Go, on which tests run the jobs too; needs Go
	@$(BIN)/python -m tools.prism

test: install  ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install  ## Check style and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml

types: install  ## Check the types
	$(BIN)/python -m mypy router transforms pipelines

check: lint types test  ## All checks

lock:  ## Write constraints.txt anew, with the newest versions that fit together
	@bash tools/lock.sh "$(PYTHON)"

clean:  ## Remove .venv and everything else that make and the tools wrote
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find pipelines router transforms tests -name __pycache__ -type d -exec rm -rf {} +

# Verbs of the project. Everything after `make setup` works offline, unless a profile names a model of the hub.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: setup demo repro test test-full study bench docs reports lock sbom clean

setup: .venv/ready

.venv/ready: requirements.txt pyproject.toml src/sightline_lab/pyproject.toml
	@echo "setup: about 4 minutes and 7 GB (PyTorch with its libraries) into .venv"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sightline needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@$(BIN)/python -m pip uninstall --quiet --yes sightline 2> /dev/null || true # the name up to 0.9.0
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . --editable src/sightline_lab
	@touch $@

demo: export HF_HUB_OFFLINE = 1
demo: setup          ## the smoke profile in .demo/, then a page with a question, its answer and why
	@sightline demo

repro: setup         ## dvc repro of the profile named in params.yaml
	@sightline estimate
	@sightline doctor --repair dvc.lock
	@dvc repro

test: setup          ## lint, types and the suite, with one shared run of the smoke pipeline
	@ruff check src stages tests
	@mypy
	@OMP_NUM_THREADS=1 python -m pytest -n 2 -m "not full"

test-full: setup     ## the suite and the slow batteries
	@ruff check src stages tests
	@mypy
	@OMP_NUM_THREADS=1 python -m pytest -n 2

study: setup         ## ablations at equal compute, three seeds: docs/reports/ablations.md
	@sightline lab study

bench: setup         ## how fast every form of the model is: docs/reports/bench.md
	@sightline lab bench

docs: setup          ## writes the measured tables into README.md and docs/reports/results.md
	@sightline tables

reports: setup       ## regenerates every published page that is out of date; says first what that costs
	@sightline lab reports

COMPILE := uv pip compile --universal --python-version 3.11 --no-annotate --no-header --quiet
SERVED := requirements-core.in requirements-serve.in
KEEP := --constraint requirements.txt

lock:                ## requirements*.in -> requirements.txt and requirements-serve.txt; `make lock KEEP=` takes the newest (needs the network and uv)
	(echo "# Every package, pinned, with platform markers. Made from the requirements*.in by \`make lock\`; do not edit by hand."; \
	 $(COMPILE) $(KEEP) requirements.in $(SERVED)) > requirements.lock
	mv requirements.lock requirements.txt
	(echo "# What ask, search, index and serve need, without PyTorch: the part of requirements.txt that comes from"; \
	 echo "# requirements-core.in and requirements-serve.in. Made by \`make lock\`; do not edit by hand."; \
	 $(COMPILE) --constraint requirements.txt $(SERVED)) > requirements-serve.lock
	mv requirements-serve.lock requirements-serve.txt

sbom: setup          ## the packages of the lock for this platform as sbom.cdx.json (CycloneDX)
	@python -m sightline.cli.sbom

clean:               ## removes what was built here, keeps the DVC cache
	rm -rf .demo .study .resume dvc_plots .pytest_cache .hypothesis .ruff_cache .mypy_cache

# Every target that runs something makes its own environment in .venv first.

PYTHON ?= python3
# Without OMP_NUM_THREADS, which nproc takes for the number of cores.
CORES ?= $(shell env -u OMP_NUM_THREADS nproc)
# Options for Snakemake: make resume ARGS="--configfile studies/thesis_mnist.yaml"
ARGS ?=

# The tests are shared by as many processes as there are cores; all tests of a file go to one, in
# the order of tests/conftest.py.
SHARED := --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

BIN := .venv/bin
READY := .venv/.ready
SNAKEMAKE := $(BIN)/snakemake
# Snakemake starts scripts with the first python on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help env demo test test-all test-avx2 resume plan look golden simulations networks lint format bench house keep references site docs gallery pictures tutorial lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

env: $(READY) ## Make the environment

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	# Every job imports torch: without bytecode, which some machines do not let Python write, that
	# takes twice as long.
	$(BIN)/python -m compileall -q -j 0 .venv/lib > /dev/null 2>&1 || true
	touch $@

demo: $(READY) ## Run a small study on embedded data (studies/demo.yaml), then its atlas and report
	$(BIN)/python workflow/warm/run.py $(SNAKEMAKE) all atlas --cores $(CORES) --configfile studies/demo.yaml $(ARGS)
	$(SNAKEMAKE) --configfile studies/demo.yaml --report results/demo/report.html
	@$(BIN)/python -m sparsight.analysis.show results/demo/summary/correlations.csv
	@echo "Report: results/demo/report.html    Tables: results/demo/summary/"
	@echo "Atlas:  results/demo/atlas/index.html    (open it in a browser)"
	@$(BIN)/python -m sparsight.study.headline results/demo

test: $(READY) ## Run the test suite
	$(BIN)/python -m pytest $(SHARED) -m "not cluster and not faults" $(ARGS)

test-all: $(READY) ## Run also the suites on a SLURM cluster of one node and on faults
	$(BIN)/python -m pytest -rs $(SHARED) $(ARGS)

test-avx2: $(READY) ## Train once more with the kernels of a processor without AVX-512
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -q tests/unit/training $(ARGS)

resume: $(READY) ## Go on after a kill
	$(SNAKEMAKE) --unlock $(ARGS)
	$(SNAKEMAKE) --cores $(CORES) $(ARGS)

plan: $(READY) ## Print jobs, hours, and what the claims of a study can show with its networks
	@$(BIN)/python -m sparsight.study.power $(ARGS)

look: $(READY) ## Run a study with seeds by looks to its next look, and say whether to go on
	@$(BIN)/python -m sparsight.study.looks --cores $(CORES) $(ARGS)

golden: $(READY) ## Record what every stage computes, after a version was raised
	$(BIN)/python -m pytest -q tests/golden --record-golden $(ARGS)

simulations: $(READY) ## Record how often intervals cover and tests err (docs/simulations.md)
	$(BIN)/python -m pytest -q tests/statistics --record-simulations

networks: $(READY) ## Record which explainers run on which networks of libraries (docs/networks.md)
	$(BIN)/python -m pytest -q tests/reference/test_explainers_on_networks.py --record-networks
	$(BIN)/python -m sparsight.study.reference_pages docs workflow/schemas

lint: $(READY) ## Check format, style, types, import contracts and the workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(SNAKEMAKE) --lint

format: $(READY) ## Format everything
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

bench: $(READY) ## Print the table of ratios
	$(BIN)/python benchmarks/run.py $(ARGS)

house: $(READY) ## Count lines, files, tests, modules with one importer, and files that a question runs through
	$(BIN)/python benchmarks/house.py

keep: $(READY) ## Keep results/STUDY in results/reference, with FIGURES="kinds": make keep STUDY=spade_shapes FIGURES=claims
	$(BIN)/python benchmarks/keep_reference.py $(STUDY) $(FIGURES) --without $(WITHOUT)

references: $(READY) ## Decide the claims of references again whose tables are of an earlier version
	$(BIN)/python benchmarks/decide_references.py

site: $(READY) ## Build the documentation site (build/site/index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "Site: build/site/index.html"

docs: $(READY) ## Write the reference pages, those of results, and the schemas for editors
	$(BIN)/python -m sparsight.study.reference_pages docs workflow/schemas

gallery: $(READY) ## Train the networks of docs/gallery.md, and draw each explainer's maps
	$(BIN)/python benchmarks/gallery.py
	$(BIN)/python benchmarks/documentation_figures.py
	$(BIN)/python -m sparsight.study.reference_pages docs workflow/schemas

pictures: $(READY) ## Run what docs/pictures.md shows of the studies, and draw its pictures
	$(BIN)/python benchmarks/pictures.py $(CORES)

tutorial: $(READY) ## Run docs/tutorial.ipynb, and write its tables and pictures into it
	$(BIN)/python benchmarks/run_tutorial.py

lock: $(READY) ## Pin all dependencies again, with hashes and without an index address
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --group dev --extra weights pyproject.toml --output-file requirements.lock

clean: ## Remove the environment and caches; results stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

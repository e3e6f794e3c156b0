# Everything runs in .venv, made here and nowhere else: no activation, no root, only Python >= 3.11 with venv, and make.
#
#   make demo TORCH_INDEX=ADDRESS     Linux without a GPU: where PyTorch keeps its small CPU builds
#   make demo CONSTRAINTS=                                         newest versions that pyproject.toml allows

CONSTRAINTS ?= constraints-cpu.txt
TORCH_INDEX ?=
PYTHON ?=
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))

export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo test check notebooks lab bench figures docs
.DELETE_ON_ERROR:

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed ## train a small omni model in front of you and write runs/demo/report.html
	$(BIN)/omni-lab demo

test: check ## what CI runs: ruff, pytest, every notebook
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 -W default --durations=0 notebooks

check: .venv/.extras ## ruff and pytest only, without the notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

notebooks: .venv/.installed ## execute every notebook and rewrite its committed outputs
	$(BIN)/python -m jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.timeout=600 --ExecutePreprocessor.record_timing=False $(NOTEBOOKS)
	$(BIN)/python notebooks/tidy.py $(NOTEBOOKS)

lab: .venv/.installed ## open the course in JupyterLab: copies to work in, without the answers
	$(BIN)/python notebooks/copies.py my_notebooks
	$(BIN)/python -m jupyter lab --notebook-dir=my_notebooks

bench: .venv/.installed ## run every benchmark and print one table
	$(BIN)/python benchmarks

figures: .venv/.installed ## write the pictures under figures/ again
	$(BIN)/omni-lab demo

docs: .venv/.installed ## write docs/claims.md again, after a new record or a changed notebook
	$(BIN)/omni-lab reproduce --claims docs/claims.md

# Reinstalls only when what is to be installed has changed; an unfinished .venv is made anew.
.venv/.installed: pyproject.toml $(CONSTRAINTS)
	@set -e; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13 python; do \
			if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then break; fi; \
			candidate=; \
		done; \
		if [ -z "$$candidate" ]; then \
			echo "omni_lab needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python" >&2; exit 1; \
		fi; \
		echo "making .venv with $$candidate"; \
		$$candidate -m venv --clear .venv; \
	fi
	$(INSTALL) -e '.[dev]'
	@touch $@

# What only tests, clusters and real recordings need.
.venv/.extras: .venv/.installed
	$(INSTALL) -e '.[dev,scale,real]'
	@touch $@

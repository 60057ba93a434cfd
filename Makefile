# Two commands matter: `make book` and `make test`. Everything they need goes into .venv and node_modules.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PAGE   := _build/html/index.html
EXPERIMENTS := $(basename $(notdir $(shell grep -l __main__ experiments/*.py)))
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help book serve lab test bench experiments chapter notebooks clean

help:  ## say what the commands do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 22

book: $(VENV)/.book node_modules/.done  ## build the site: environment, assets, notebooks, pages
	@jupyter-book build . -n -W --keep-going -q
	@echo "The book is ready. Open in a browser:  file://$(CURDIR)/$(PAGE)"

serve: book  ## build, then serve the site on http://localhost:8000
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

lab: $(VENV)/.book  ## open JupyterLab on the notebooks
	@jupyter lab book

test: $(VENV)/.test book  ## lint, types, scripts, every notebook, unit tests, the site in a real browser
	ruff check .
	ruff format --check .
	mypy
	npx prettier --check "lrcourse/**/*.js" "book/**/*.js" "tests/**/*.mjs"
	node --test tests/*/*.test.mjs
	@$(BIN)/python -m tools.alone
	pytest --doctest-modules --numprocesses 2 --maxschedchunk 1 lrcourse tests

bench: $(VENV)/.bench book  ## side-by-side measurements, printed as ratios
	@for script in $(filter-out benchmarks/rivals.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

experiments: $(VENV)/.book  ## record again every cube under lrcourse/recorded that is missing or unfinished
	@for name in $(EXPERIMENTS); do echo "== $$name"; $(BIN)/python -m experiments.$$name || exit 1; done

chapter: $(VENV)/.book  ## begin a chapter from the template: make chapter NAME=frameworks
	@$(BIN)/python -m tools.chapter $(NAME)

notebooks: $(VENV)/.test  ## run the notebooks and write back their checked outputs and stills
	@$(BIN)/python -m tools.refresh

clean:  ## remove what was built (the environment and the assets stay; rm -r .venv node_modules removes them)
	rm -rf _build build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; try: make book PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.book: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the environment into $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.test: tests/requirements.txt $(VENV)/.book
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(VENV)/.bench: benchmarks/requirements.txt $(VENV)/.test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

node_modules/.done: package.json package-lock.json $(VENV)/.book
	@echo "Fetching the pinned browser assets"
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

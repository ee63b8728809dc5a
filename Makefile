# The same few commands for people and for CI. `make` alone lists them.
ifeq ($(origin PATH),undefined)
export PATH := /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
endif
PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13,$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COMPILE := env -u PIP_FIND_LINKS $(BIN)/python -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench load trial trial-check trial-corpus trial-faces trial-trace crowds simulate fuzz config locks clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.demo ## a photo site, a person and three harvesters, side by side (ONCE=1: one round, then exit)
	$(BIN)/antiscrape demo $(if $(ONCE),--once) $(ARGS)

test: $(VENV)/.dev ## all tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: $(VENV)/.dev ## lint, types, shape
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(VENV)/.dev ## format and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## cost per request, beside the bare app and the peers
	$(BIN)/python -m loadtests.bench $(ARGS)

load: $(VENV)/.dev ## locust: people, crawlers, harvesters
	$(BIN)/python -m loadtests.run $(ARGS)

trial: $(VENV)/.dev ## real scrapers and browsers against the demo site
	$(BIN)/python -m loadtests.trial $(ARGS)

trial-corpus: $(VENV)/.dev ## recorded scrapers and people, judged on their own clock
	$(BIN)/python -m loadtests.corpus $(ARGS)

trial-trace: $(VENV)/.dev ## what the marks in pixels survive, beside others' (an hour; ARGS="--photos 3 --unmarked 100")
	$(BIN)/python -m loadtests.trace $(ARGS)

trial-faces: $(VENV)/.dev ## face recognisers against what harvesters get (ARGS=--quick: minutes)
	$(BIN)/python -m loadtests.faces $(ARGS)

trial-check: $(VENV)/.dev ## first paint to clearance, in real Chromium and Firefox
	$(BIN)/python -m loadtests.check $(ARGS)

crowds: $(VENV)/.dev ## botnets and crowds of people before the real gate, in virtual time
	$(BIN)/python -m loadtests.crowds $(ARGS)

simulate: $(VENV)/.dev ## 1 to 1,000 nodes and 10^8 principals on paper and model (ARGS=--quick: a minute)
	$(BIN)/python -m loadtests.simulate $(ARGS)

fuzz: $(VENV)/.dev ## longer runs of the seeded and property tests; the image's packages by pip and hash
	ANTISCRAPE_FUZZ=1 $(BIN)/python -m pytest -q tests/security tests/core tests/contracts tests/cli/test_explain_input.py tests/asgi/test_rewriting.py tests/asgi/test_skimming.py tests/asgi/test_swift.py tests/asgi/test_feeds.py tests/images/test_hostile.py tests/stores/test_bounds.py tests/loadtests/test_crowds.py tests/test_reload.py tests/serving/test_faults.py tests/serving/test_admin_workers.py tests/test_dockerfile.py $(ARGS)

config: $(VENV)/.dev ## write config/antiscrape.toml and its schema anew from the settings' models
	$(BIN)/python -m antiscrape.settings.document

locks: $(VENV)/.dev ## resolve the dependencies anew (several minutes)
	$(COMPILE) $(ARGS) --all-extras -o locks/dev.txt pyproject.toml locks/build.in
	$(COMPILE) --extra demo -c locks/dev.txt -o locks/demo.txt pyproject.toml locks/build.in
	$(COMPILE) --extra serve --extra browser --extra verify --extra networks --extra workers -c locks/dev.txt -o locks/serve.txt pyproject.toml
	$(COMPILE) -c locks/dev.txt -o locks/build.txt locks/build.in
	$(COMPILE) -o locks/faces.txt locks/faces.in
	@# the package itself stands among its extras' needs, with this folder's path
	sed -i -e '/^# WARNING: pip install/d' -e '/^# Consider using a hashable/d' -e '/^antiscrape @ /,/^    # via/d' locks/dev.txt locks/demo.txt locks/serve.txt

clean: ## remove what these commands made
	rm -rf $(VENV) .cache build dist artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "antiscrape needs Python 3.11 or newer: apt install python3"; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Could not make a virtual environment: apt install python3-venv"; exit 1; }

$(VENV)/.demo: locks/demo.txt pyproject.toml hatch_build.py $(wildcard antiscrape/asgi/native/*) | $(BIN)/python
	@echo "Installing $$(grep -c '==' locks/demo.txt) packages into $(VENV); a minute or two the first time"
	@$(PIP) install --quiet --require-hashes -r locks/demo.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: locks/dev.txt pyproject.toml hatch_build.py $(wildcard antiscrape/asgi/native/*) | $(BIN)/python
	@echo "Installing $$(grep -c '==' locks/dev.txt) packages into $(VENV); a few minutes the first time"
	@$(PIP) install --quiet --require-hashes -r locks/dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.demo

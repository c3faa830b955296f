# `make run` and `make test` are the two commands that matter; each installs what it needs into .venv.
# GNU make 3.81 (macOS) is enough. ARGS goes to the command: make run ARGS="--port 9090", make test ARGS="-k budget"

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test
NODE_SDK := tests/node/node_modules/.package-lock.json
PYTEST := $(BIN)/python -m pytest $(if $(filter true,$(CI)),-p tests.no_skips)

.PHONY: run test test-long bench bench-usage schema docs constraints clean system-tools node-sdk

run: $(INSTALLED)
	@$(BIN)/paifang serve $(ARGS)

# pytest goes last whatever the checks before it said, so that its closing line closes the output.
test: $(INSTALLED_TEST) system-tools node-sdk
	@failed=0; \
	$(BIN)/ruff check --quiet . || failed=1; \
	$(BIN)/mypy --no-error-summary || failed=1; \
	[ $$failed = 0 ] || echo "ruff or mypy object, see above: this run fails, whatever pytest says."; \
	$(PYTEST) -n 2 --dist worksteal $(ARGS) || failed=1; \
	exit $$failed

test-long: $(INSTALLED_TEST) system-tools node-sdk
	@$(PYTEST) -m long $(ARGS)

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/run.py $(ARGS)

bench-usage: $(INSTALLED)
	@$(BIN)/python benchmarks/usage.py $(ARGS)

schema: $(INSTALLED)
	@$(BIN)/paifang schema > gateway.schema.json.new
	@mv gateway.schema.json.new gateway.schema.json

# The tables of docs/configuration.md and docs/admin.md.
docs: $(INSTALLED)
	@$(BIN)/python docs/generate.py

# The newest versions that pyproject.toml allows, from an environment that holds nothing else.
constraints:
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@build/constraints/bin/python -m pip install --quiet --upgrade -e '.[test]'
	@{ head -n 1 constraints.txt; build/constraints/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt && rm -rf build/constraints

clean:
	@rm -rf $(VENV) tests/node/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find proxy plugins adapters tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Paifang needs Python 3.11 or newer as $(PYTHON). Remedy: install one and name it, as in: make PYTHON=python3.13 run"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) can't make virtual environments. Remedy: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Paifang into $(VENV); this happens once."
	@$(PIP_INSTALL) -c constraints.txt -e .
	@touch $@

$(INSTALLED_TEST): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Paifang and what its tests need into $(VENV); this happens once, and takes some minutes."
	@$(PIP_INSTALL) -c constraints.txt -e '.[test]'
	@touch $(INSTALLED) $@

system-tools: $(INSTALLED_TEST)
	@missing=$$($(BIN)/python -m tests.system_tools); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then as=; \
	elif [ "$$(id -u)" = 0 ]; then as=env; \
	elif sudo -n true 2>/dev/null; then as="sudo env"; \
	else as=; fi; \
	if [ -n "$$as" ] && echo "Installing with apt: $$missing" && $$as apt-get update -qq && \
	  $$as DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; then exit 0; fi; \
	echo "Missing on this system: $$missing. The tests that need them are skipped, each with its remedy."

node-sdk: system-tools
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE_SDK) || \
	  echo "npm could not install the OpenAI SDK for Node; the tests that need it are skipped."; fi

$(NODE_SDK): tests/node/package.json tests/node/package-lock.json
	@cd tests/node && npm ci --silent --no-audit --no-fund
	@touch $@

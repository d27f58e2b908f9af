# Targets: demo, sweep, study, bench, docs, test, test-fast, torture, lint, wheel, clean. `make help` explains them.
#
# PYTHON=... picks the interpreter that makes the environment (without it tools/find_python.sh does);
# VENV=... an environment to use instead of .venv (an existing one is used as it is, with what is
# missing installed into it; if another checkout is installed there, it stays: tools/install.py).

VENV ?= .venv
ifeq ($(strip $(VENV)),)
$(error VENV is empty: name an environment, or leave it out for .venv)
endif
BIN = $(VENV)/bin
ifneq ($(and $(PYTHON),$(wildcard $(BIN)/python)),)
$(info $(VENV) exists and is used as it is: PYTHON=$(PYTHON) makes no difference to it)
endif
INSTALLED = $(VENV)/.nst_jax

# A GPU box installs the CUDA build, a TPU host libtpu; elsewhere JAX runs on the CPU.
# ACCELERATOR=cuda, =tpu or = (none) overrides what is found.
ACCELERATOR ?= $(shell if nvidia-smi -L >/dev/null 2>&1; then echo cuda; \
	elif [ -e /dev/accel0 ] || [ -n "$$TPU_NAME$$TPU_ACCELERATOR_TYPE$$COLAB_TPU_ADDR" ]; \
	then echo tpu; fi)

# The code of this checkout, whatever else the environment holds.
export PYTHONPATH := $(CURDIR)

.PHONY: help demo sweep study bench docs test test-fast torture lint wheel clean

help:
	@echo "make demo       install into $(VENV), then stylise a portrait into out/demo/"
	@echo "make sweep      every optimizer and learning rate at once, into out/sweep/"
	@echo "make study      every experiment of docs/study.md (hours on a CPU), and that page"
	@echo "make bench      how fast it is on this device (about ten minutes on two cores)"
	@echo "make docs       the documentation, into site/"
	@echo "make test       all tests (about twenty minutes on two cores)"
	@echo "make test-fast  the quick ones (about six minutes)"
	@echo "make torture    faults and hostile files by the thousand (about forty minutes)"
	@echo "make lint       ruff: style and formatting; mypy: the types of the library"
	@echo "make wheel      build into dist/; try it with each Python, oldest and newest libraries"
	@echo "make clean      remove .venv, out/, dist/ and caches"
	@echo "$(VENV) is made with Python 3.13 or 3.12 where there is one; PYTHON=... names another"

demo: $(INSTALLED)
	$(BIN)/python experiments/demo.py $(ARGS)

sweep: $(INSTALLED)
	$(BIN)/python experiments/sweep.py $(ARGS)

study: $(INSTALLED)
	$(BIN)/python experiments/answers.py $(ARGS)

bench: $(INSTALLED)
	$(BIN)/python experiments/benchmark.py $(ARGS)

docs: export PYTHONPATH := $(CURDIR):$(CURDIR)/tools
docs: $(INSTALLED)-dev
	$(BIN)/zensical build --strict --clean $(ARGS)

test: $(INSTALLED)-dev
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-fast: $(INSTALLED)-dev
	$(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

torture: $(INSTALLED)-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m torture --torture $(ARGS)

lint: $(INSTALLED)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(INSTALLED)-dev
	$(BIN)/python tests/try_wheel.py $(ARGS)

$(BIN)/python:
	@python=$$(sh tools/find_python.sh $(PYTHON)) || exit 1; \
	echo "$(VENV): $$("$$python" --version) ($$python)"; \
	"$$python" -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		echo "Python 3.11 keeps JAX at 0.10; 3.12 or later brings a newer one, whose bfloat16 is" \
			"several times as fast on processors that have AMX"

$(INSTALLED): pyproject.toml | $(BIN)/python
	$(BIN)/python -I tools/install.py $(ACCELERATOR)
	@touch $@

$(INSTALLED)-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -I tools/install.py dev $(ACCELERATOR)
	@touch $@ $(INSTALLED)

clean:
	rm -rf .venv out site build dist .cache .pytest_cache .ruff_cache .mypy_cache

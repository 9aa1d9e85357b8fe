# Everything a person does here, on a machine that has Python 3.11 or newer and nothing else.
.DEFAULT_GOAL := help
.PHONY: help app test style format bench screenshot checkpoints evidence
.DELETE_ON_ERROR:

# The first of these that really runs is used (a version manager's shim may exist and still fail).
PYTHON ?= python3.12 python3.11 python3.13 python3
VENV := .venv
BIN := $(VENV)/bin
# What the bundled checkpoint is trained on, what reports on it, and where the work lies meanwhile.
TRAINED_ON := gestures surveillance yoga falls
CHOSEN_ON := gestures surveillance yoga
REPORTED_ON := gestures surveillance weizmann clips
# Of each set by itself; a critic wants them all at once.
PROTOCOLS := restoration agreement order recognition fine-tuned leakage video-models layout
PACKS := runs/packs
RUN := runs/base

# A stamp is newer than its requirements file once all of it is installed: the second start is
# instant, and a changed file (or an interrupted first try) installs again.
APP := $(VENV)/.installed-app
DEV := $(VENV)/.installed-dev

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

app: $(APP)  ## set up and serve the page (on GRADIO_SERVER_PORT, else 7860)
	@$(BIN)/python app.py

test: $(DEV)  ## set up and run every test, the real browser's too
	@$(BIN)/python -m tests.chromium
	@$(BIN)/python -m pytest

style: $(DEV)  ## check lint and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)  ## mend lint and formatting where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV)  ## time AVD against torchvision's networks and PyAV, and what people wait for at the page
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks page

screenshot: $(DEV)  ## take the README's picture of the page
	$(BIN)/python -m scripts.screenshot

checkpoints: $(APP)  ## train the bundled checkpoints again from $AVD_DATA (hours; best on a GPU)
	$(needs_data)
	$(BIN)/python -m avd_core pack $(TRAINED_ON:%=$$AVD_DATA/%) --splits benchmarks/splits --out $(PACKS)/train.pack \
	  --synthetic 300 --photos $$AVD_DATA/photos/people
	$(BIN)/python -m avd_core pack $(CHOSEN_ON:%=$$AVD_DATA/%) --splits benchmarks/splits --parts choose \
	  --out $(PACKS)/choose.pack
	if test -e $(RUN)/config.json; then $(BIN)/python -m avd_core train --run $(RUN) --resume; else \
	  $(BIN)/python -m avd_core train --run $(RUN) --preset base --data $(PACKS)/train.pack \
	    --held-out $(PACKS)/choose.pack; fi
	$(BIN)/python -m avd_core train-action --checkpoint $(RUN)/checkpoint --out runs/action
	@echo "New: $(RUN)/checkpoint and runs/action. Those in checkpoints/ are still the old ones."

evidence: $(APP)  ## measure the bundled checkpoint on the held-out clips of $AVD_DATA
	$(needs_data)
	@set -e; for name in $(REPORTED_ON); do \
	  $(BIN)/python -m avd_core evidence "$$AVD_DATA/$$name" --split benchmarks/splits/$$name.json \
	    --protocols $(PROTOCOLS) --out runs/evidence/$$name; \
	done
	@$(BIN)/python -m avd_core evidence $(REPORTED_ON:%="$$AVD_DATA/%") --split $(REPORTED_ON:%=benchmarks/splits/%.json) \
	  --protocols realism kernel-distance --out runs/evidence/pooled

needs_data = @test -d "$$AVD_DATA" || { echo "Set AVD_DATA to the folder of clips that checkpoints/README.md names." >&2; exit 2; }

# pip present and running stands for "the environment is whole".
define environment
@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
  for python in $(PYTHON); do \
    if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
      echo "Setting up $(VENV) with $$($$python --version)"; exec $$python -m venv --clear $(VENV); \
    fi; \
  done; \
  echo "No usable Python 3.11 or newer with venv was found: install one (Debian: apt-get install python3-venv)," \
    "or name it: make PYTHON=/path/to/python" >&2; \
  exit 1; \
fi
endef

$(APP): requirements.txt
	$(environment)
	@echo "Installing requirements.txt (several GB the first time: PyTorch brings its CUDA libraries)"
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(APP)
	@$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

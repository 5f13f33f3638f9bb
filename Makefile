# Every target sets up .venv by itself. `make leaderboard` and `make test` are all a new user needs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MACHINE = "$$($(BIN)/attnbench doctor --machine)"

.PHONY: leaderboard test check bench floors forms agreement repeatability trainer site screenshots clean

# asv ends with 2 when a cell failed: that is a result, and the page shows it.
leaderboard: $(READY)  ## run the quick preset through asv on this machine, build the site, say where it is
	@$(BIN)/asv machine --yes --machine $(MACHINE) > /dev/null
	$(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash HEAD --record-samples --machine $(MACHINE) || test $$? -eq 2
	@$(BIN)/asv publish > /dev/null
	@$(BIN)/attnbench show --machine $(MACHINE)
	@$(BIN)/attnbench site --first $(MACHINE)

# What computes goes to two workers; what measures has the machine to itself. Plain `pytest` runs all of it in one process.
test: $(READY)  ## the whole test suite
	$(BIN)/python -m pytest -m "not alone" --numprocesses 2 --dist worksteal
	$(BIN)/python -m pytest -m alone

check: $(READY)  ## lint, types, imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## the quick preset without asv
	$(BIN)/attnbench run

floors: $(READY)  ## the mechanism library's speed, memory and check floors, measured here as ratios; a few minutes
	$(BIN)/python tools/floors.py

forms: $(READY)  ## both forms of polynomial attention around their crossing
	$(BIN)/python tools/forms.py

agreement: $(READY)  ## our clock against torch's Timer: within 10 %, or exit code 1; a minute
	$(BIN)/python tools/agreement.py

repeatability: $(READY)  ## two quick kernel sessions, and whether they say the same; about five minutes
	$(BIN)/python tools/repeatability.py

trainer: $(READY)  ## the training engine's samples a second against a bare loop's; a minute
	$(BIN)/python tools/trainer.py

site: $(READY)  ## build the site from results/
	$(BIN)/attnbench site

screenshots: site  ## pictures of every page type, light, dark and phone width, in site/dist/screenshots
	$(BIN)/python tools/screenshots.py site/dist site/dist/screenshots

clean:  ## remove what make made; results stay
	rm -rf $(VENV) .asv site/dist build dist

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about a minute, most of it torch ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

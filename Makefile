# Every target sets up .venv by itself when it is missing or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# One process must not take all cores for itself: the tests run two of them.
export OMP_NUM_THREADS ?= 2

.PHONY: demo test check format bench bench-learning clean

demo: $(READY) ## the whole path on synthetic scans, minutes on two cores
	$(BIN)/radnet demo runs/demo --results results --overwrite

test: $(READY) ## all tests; those that need ../shared skip with a reason when it is absent
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(READY) ## lint, format and types, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure: every script in benchmarks/
	for script in decode loader build resume memory train probes imagenet_probe phantom_speed suite leaderboard analysis; do echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done

bench-learning: $(READY) ## does pretraining teach anything? Nine short trainings, an hour or more on two cores
	$(BIN)/python benchmarks/learning.py

clean: ## remove what the other targets made, .venv included
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

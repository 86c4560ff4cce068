# make demo: environment and main job.   make test: environment and tests.   make lint: style and types.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: install demo test test-real test-faults lint bench bench-compare clean

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: install
	$(BIN)/python -m fer_ssl.train +experiment=dtm_infonce hydra.run.dir=outputs/demo
	@echo "Open outputs/demo/report.html"

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not real and not slow and not gpu and not browser"

test-real: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "real and not slow"

# breaks runs in every way of docs/reliability.md, and writes that page
test-faults: install
	OMP_NUM_THREADS=1 FER_SSL_RELIABILITY=docs/reliability.md $(BIN)/python -m pytest tests/faults -m "slow or not slow"

lint: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# make bench [ONLY="step views"] [DATA=<fer2013>]: figures into docs/.   make bench-compare A=a.json B=b.json
bench: install
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/bench.py --json docs/benchmarks.json --markdown docs/benchmarks.md \
		$(if $(ONLY),--only $(ONLY)) $(if $(DATA),--data $(DATA))

bench-compare: install
	$(BIN)/python benchmarks/compare.py $(A) $(B)

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache

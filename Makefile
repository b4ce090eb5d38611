# `make demo` and `make test` need Python 3.11+ with pip and venv, and nothing else installed.
#   PYTHON=python3.12   the interpreter that creates the environment
#   VENV=/some/folder   where the environment is (default .venv)
#   TORCH=              leave PyTorch out: the tests that compare with it are then skipped. Or an exact requirement,
#                       or a wheel's path; on Linux the index's own build pulls in gigabytes of CUDA libraries
#   ARGS='-k conv'      more arguments for pytest

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
JOBS   ?= 2
ARGS   ?=

PY      := $(VENV)/bin/python
PIP     := $(PY) -m pip --disable-pip-version-check -qq
SOURCES := setup.cfg pyproject.toml

# One thread per worker: the workers already share the cores, and sums keep their order.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

# What test-noise runs: the tests that compare results of BLAS and LAPACK with other numbers.
NOISY := tests/ops tests/test_readings.py tests/test_batching.py tests/test_vmap.py tests/test_testing.py \
    tests/test_functional.py tests/test_functional_linear.py tests/test_complexes.py tests/test_compile.py \
    tests/test_minimize.py tests/test_interop.py tests/nn/test_functional_cases.py tests/nn/test_layers.py \
    tests/nn/test_batchnorm.py tests/nn/test_losses.py tests/nn/test_lbfgs.py
SEED  ?= 1

# How many places of each entry point interrupts tries: all, or SITES=200. How much of growth's 100,000 steps is run.
SITES ?=
SHARE ?= 1
# How many processes of each kind bench-report starts.
ROUNDS ?= 2
QUICK  ?=

# How many files fuzz-files forges; how many mutations mutants tries, and of which files.
fuzz-files: N ?= 1000
mutants: N ?= 50
FILES ?= tensorgrad/engine tensorgrad/compiler nn/_optim nn/_files nn/_training

# The site's formulas: MathJax in one file.
MATHJAX_VERSION := 3.2.2
MATHJAX         ?= build/mathjax/tex-svg.js

.PHONY: help demo docs pictures dist test test-noise array-api fuzz-files mutants mutants-map interrupts growth lint format coverage words bench bench-report test-lowest clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo         train and draw the digits classifier; pictures go to demo/"
	@echo "make docs         build the site in build/site, without the network once MathJax is there"
	@echo "make pictures     draw the pictures of the README and the site anew"
	@echo "make dist         build sdist and wheel in dist/, and try the wheel in an empty environment"
	@echo "make test         run the linters, the type checker and the whole test suite"
	@echo "make test-noise   run the numeric tests with the rounding of another processor's BLAS (SEED=1)"
	@echo "make array-api    run the array API standard's tests, of which AAT=/path is a checkout"
	@echo "make fuzz-files   forge N=1000 files that nn.load must refuse or load, and time the most costly ones"
	@echo "make interrupts   interrupt each entry point after each call and line: hours, or SITES=100 of each"
	@echo "make growth       repeat steps and failures 100,000 times and show what grows (SHARE=0.1: a tenth)"
	@echo "make mutants      change N=50 small things in FILES, and list the changes that no test notices (SEED=1)"
	@echo "make mutants-map  run all tests once to learn which test runs which line, for make mutants"
	@echo "make lint         run only the linters and the type checker"
	@echo "make format       reformat the sources"
	@echo "make coverage     run the tests and report the lines they miss"
	@echo "make words        collect every message that the tests provoke in build/words.md"
	@echo "make bench        install the peers and run benchmarks/*.py"
	@echo "make bench-report measure training steps against the peers, and write docs/performance.md (ROUNDS=2)"
	@echo "make test-lowest  run the tests on the oldest versions that setup.cfg allows"
	@echo "make clean        remove build products, caches and the demo's pictures"

demo: $(VENV)/.installed-demo
	$(PY) -m demo

# Warnings are errors, and each build is a fresh one, so that no page keeps an old title in its menu. Notebooks are not
# run: the site shows the outputs that were committed.
docs: $(VENV)/.installed-docs $(MATHJAX)
	MATHJAX="$(abspath $(MATHJAX))" $(PY) -m sphinx -E -W -q -b html docs build/site
	@echo "open build/site/index.html"

build/mathjax/tex-svg.js:
	@command -v npm > /dev/null || { echo "MathJax comes from the npm package mathjax: install Node.js, or write \
	make docs MATHJAX=/path/to/es5/tex-svg.js of mathjax $(MATHJAX_VERSION)"; exit 2; }
	@mkdir -p build/mathjax
	cd build/mathjax && npm pack --silent mathjax@$(MATHJAX_VERSION)
	cd build/mathjax && tar -xzf mathjax-$(MATHJAX_VERSION).tgz --strip-components=2 package/es5/tex-svg.js
	@rm build/mathjax/mathjax-$(MATHJAX_VERSION).tgz
	@touch $@

pictures: $(VENV)/.installed-demo
	$(ONE_THREAD) $(PY) docs/pictures.py

# The wheel is installed in an empty environment, where it must draw, train and derive, without a PATH.
dist: $(VENV)/.installed-dist
	rm -rf dist build/lib build/bdist.* build/wheel-venv
	@mkdir -p build
	@$(PY) -m build --outdir dist . > build/dist.log 2>&1 || { cat build/dist.log; exit 1; }
	@ls -sh dist
	$(PY) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip --disable-pip-version-check -qq install dist/*.whl
	cd build && env -i wheel-venv/bin/python -I ../tests/try_wheel.py

test: lint $(VENV)/.installed-torch
	$(ONE_THREAD) $(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-noise: $(VENV)/.installed-torch
	$(ONE_THREAD) $(PY) -m pytest -n $(JOBS) --dist worksteal --blas-noise=$(SEED) -m "not slow" $(NOISY) $(ARGS)

# AAT is a checkout of github.com/data-apis/array-api-tests with its submodule.
array-api: $(VENV)/.installed-test
	@test -n "$(AAT)" || { echo "write: make array-api AAT=/path/to/array-api-tests"; exit 2; }
	$(PIP) install -r $(AAT)/requirements.txt
	cd $(AAT) && ARRAY_API_TESTS_MODULE=tensorgrad $(abspath $(PY)) -m pytest -q -p no:cacheprovider \
	    --max-examples=5 --disable-warnings --tb=line array_api_tests $(ARGS)

fuzz-files: $(VENV)/.installed-test
	$(ONE_THREAD) $(PY) -m tests.nn.forging --count $(N) $(ARGS)

interrupts: $(VENV)/.installed-test
	$(ONE_THREAD) $(PY) -m tests.interrupting $(if $(SITES),--sites $(SITES)) $(ARGS)

growth: $(VENV)/.installed-test
	$(ONE_THREAD) $(PY) -m tests.growing --share $(SHARE) $(ARGS)

mutants: $(VENV)/.installed-torch
	@test -e build/mutants/seconds.json || $(MAKE) --no-print-directory mutants-map
	$(ONE_THREAD) $(PY) -m tests.mutants $(FILES) --count $(N) --seed $(SEED) $(ARGS)

mutants-map: $(VENV)/.installed-torch
	$(ONE_THREAD) $(PY) -m tests.mutants --map -n $(JOBS) --dist worksteal -m "not slow and not notebook" $(ARGS)

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.installed-test
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

coverage: $(VENV)/.installed-torch
	$(ONE_THREAD) $(PY) -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term $(ARGS)

words: $(VENV)/.installed-torch
	$(ONE_THREAD) $(PY) -m tests.words

bench: $(VENV)/.installed-bench
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(PY) "$$script"; done

# An hour on a quiet machine; with QUICK=--quick, half of that. Raw results stay in build/bench, from
# which `python benchmarks/_report.py` writes the page again.
bench-report: $(VENV)/.installed-bench
	@set -e; for script in train_step sweep estimator compile_time memory; do \
	    echo "== $$script"; $(PY) benchmarks/$$script.py --rounds $(ROUNDS) $(QUICK); done
	@echo "== train_step, on two cores"; $(PY) benchmarks/train_step.py --cores 2 --rounds $(ROUNDS) $(QUICK) \
	    --kinds "tensorgrad eager" "tensorgrad numpy" "tensorgrad native" "PyTorch eager" "JAX jit" products
	$(PY) benchmarks/_report.py

# pip cannot resolve to the oldest versions, so each `name>=version` in setup.cfg becomes a constraint.
# Old releases call functions that newer ones deprecate, so here such warnings are only shown.
test-lowest: $(SOURCES)
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.environment
	@sed -n 's/^ *\([A-Za-z0-9_-]*\)>=\([0-9.]*\).*/\1==\2/p' setup.cfg > .venv-lowest/lowest.txt
	PIP_CONSTRAINT=.venv-lowest/lowest.txt $(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.installed-torch
	$(ONE_THREAD) .venv-lowest/bin/python -m pytest -n $(JOBS) --dist worksteal -W default::DeprecationWarning $(ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis htmlcov
	rm -f .coverage .coverage.* demo/*.png demo/*.svg
	rm -rf docs/api docs/house docs/tutorial
	find tensorgrad nn tests demo docs benchmarks examples notebooks -type d \
	    \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} + 2>/dev/null || true

# The environment, and a stamp for each thing installed into it; changing setup.cfg reinstalls.
$(VENV)/.environment:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "tensorgrad \
	needs Python 3.11 or newer, got %d.%d; write: make PYTHON=python3.11 ..." % v[:2])'
	@$(PY) -m pip --version > /dev/null 2>&1 || \
	    { echo "Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

$(VENV)/.installed-demo: $(SOURCES) | $(VENV)/.environment
	@echo "Installing tensorgrad and what the demo needs into $(VENV) (a minute or two, the first time)"
	@$(PIP) install --editable '.[notebook,sklearn]'
	@touch $@

$(VENV)/.installed-test: $(SOURCES) | $(VENV)/.environment
	@echo "Installing tensorgrad and what the tests need into $(VENV) (a minute or two, the first time)"
	@$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(SOURCES) | $(VENV)/.environment
	@echo "Installing tensorgrad and what the site needs into $(VENV) (a minute or two, the first time)"
	@$(PIP) install --editable '.[docs]'
	@touch $@

$(VENV)/.installed-dist: $(SOURCES) | $(VENV)/.environment
	@$(PIP) install 'build>=1.2'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-torch
	@echo "Installing more peers for the benchmarks"
	@$(PIP) install --editable '.[bench]'
	@touch $@

# No stamp after a failure, so that the next run tries again.
$(VENV)/.installed-torch: $(VENV)/.installed-test
ifneq ($(strip $(TORCH)),)
	@echo "Installing $(TORCH), the peer that the tests compare with"
	@if $(PIP) install '$(TORCH)' > $(VENV)/torch.log 2>&1; then touch $@; \
	else echo "$(TORCH) could not be installed (see $(VENV)/torch.log); the peer tests will be skipped"; fi
endif

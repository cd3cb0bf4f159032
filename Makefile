# Everything a developer or a newcomer runs. Plain `make` lists it.
#
#   make run      start the gateway, with a demo mail server behind it or UPSTREAM=imaps://imap.example.com
#   make test     install what the tests need, then run everything
#   make check    format, lint, types and the fast tests: under two minutes
#   make bench    measure, and print one table
#   make soak     the tests that cut connections, mix operations, send nonsense and kill nodes, for long
#   make clean    remove the virtual environment and everything cached

VENV    ?= .venv
PYTHON  := $(VENV)/bin/python
SOURCES := gateway tests demo bench
PORT    ?= 8080
# Most tests wait for servers more than they compute; each process starts the servers that its tests ask for.
PROCESSES ?= 3
PYTEST := $(PYTHON) -m pytest -q -n $(PROCESSES) --dist worksteal
PYTEST_ARGS ?=
export PORT UPSTREAM SMTP SIEVE UPSTREAM_LOGIN UPSTREAM_PASSWORD TLS CA_FILE CONFIG

.PHONY: help run test check static bench soak clean
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

help:
	@sed -n 's/^#   make/  make/p' Makefile

run: $(VENV)/.has-demo
	@exec $(PYTHON) -m demo

check: $(VENV)/.has-test static
	$(PYTEST) -m "not slow and not upstream" $(PYTEST_ARGS)

test: $(VENV)/.has-test static
	$(PYTHON) -m tests.upstreams.debian
	$(PYTEST) $(PYTEST_ARGS)

static: $(VENV)/.has-test
	$(PYTHON) -m ruff format --check $(SOURCES)
	$(PYTHON) -m ruff check $(SOURCES)
	$(PYTHON) -m mypy --strict $(SOURCES)

bench: $(VENV)/.has-test
	$(PYTHON) -m tests.upstreams.debian dovecot redis
	@exec $(PYTHON) -m bench $(BENCH_ARGS)

soak: $(VENV)/.has-test
	$(PYTHON) -m tests.upstreams.debian
	CUTS=all SOAK=1 $(PYTHON) -m pytest -q --timeout=7200 \
		tests/sync tests/server/test_sieve_cuts.py tests/server/test_hostile.py tests/nodes $(PYTEST_ARGS)

$(VENV)/.has-demo: pyproject.toml tools/venv
	tools/venv $(VENV) demo
	@touch $@

$(VENV)/.has-test: pyproject.toml tools/venv
	tools/venv $(VENV) demo,test
	@touch $@ $(VENV)/.has-demo

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis var

# The front door. Every target sets up what it needs.
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run test test-long check bench load soak clean lock

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## set up, then run one edge with a synthetic studio; prints the URLs
	@scripts/setup.sh run
	@exec $(PY) -m edge.demo

test: ## set up, then run the tests; the last line counts them
	@scripts/setup.sh test
	@exec $(PY) scripts/run_tests.py

test-long: ## the tests that take half a minute and more each
	@scripts/setup.sh test
	@exec $(PY) scripts/run_tests.py --long

check: ## linters and types
	@scripts/setup.sh test
	@exec scripts/check.sh

bench: ## benchmarks beside the peers; results in bench/results
	@scripts/setup.sh test
	@scripts/setup.sh peers
	@exec $(PY) -m bench.fanout

soak: ## one hour of players who stay and players who come and go; results in bench/results
	@scripts/setup.sh test
	@exec $(PY) -m bench.soak --seconds 3600

lock: ## pin all Python packages anew
	@exec scripts/lock.sh

clean: ## remove everything that was built
	rm -rf .venv target edge/dataplane/target edge/web/node_modules edge/web/dist edge/web/build edge/_dataplane*.so

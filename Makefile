# Every target does all of its own set-up; the steps are the scripts in tools/.
.DEFAULT_GOAL := help
.PHONY: help run compose test test-long bench lint unit audit reproduce engine base image test-images lock clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

run: ## Build, start, print the URL: PORT=8080, ARGS="-e NAME=value" for docker run; Ctrl-C stops
	@tools/run.sh $(ARGS)

compose: ## The application and a Postgres: docker compose up, or ARGS="..." (ARGS="down")
	@tools/compose.sh $(or $(ARGS),up)

test: ## Lint, unit tests and the image's tests
	@tools/test.sh sample

test-long: ## The same with every campaign in full
	@tools/test.sh full

bench: ## Side-by-side measurements against the peers
	@tools/bench.sh $(ARGS)

lint: ## Every linter; each one must be clean
	@tools/lint.sh

unit: ## Unit tests on this Python, the oldest and the newest found
	@tools/unit.sh $(ARGS)

audit: ## Known vulnerabilities of what the image is made of: exit code 0 none, 1 some, 2 could not look everywhere
	@tools/audit.sh

reproduce: ## Two builds from nothing, compared path by path
	@tools/reproduce.sh

engine: ## A container engine that answers: installed and started if need be
	@tools/engine.sh

base: engine ## The Debian base image: pulled, or built here where no registry can be reached
	@tools/base-image.sh

image: ## flagon:runtime and flagon:latest
	@tools/image.sh

test-images: ## The servers that the image's tests run against
	@tools/test-images.sh

lock: ## Lock requirements/ again; UPGRADE=1 takes newer versions
	@tools/lock.sh

clean: ## Remove what was made here (never the flagon-data volume)
	@tools/clean.sh

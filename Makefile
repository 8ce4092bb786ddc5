# The menu. Each line calls a script; `make demo` and `make test` set up everything they need by themselves.
export NODE_COMPILE_CACHE = $(CURDIR)/.cache/node

.PHONY: demo test build install uninstall package lint bench fuzz soak generate format setup clean

demo: ## set up, build, pull kernel and image, run a repository's tests in a VM
	@sh scripts/demo.sh

test: ## set up, then every test, with real VMs
	@sh scripts/test.sh

build: setup ## ./bin/banger and the guest agent
	@sh scripts/build.sh

install: build ## into PREFIX (default: ~/.local, for root /usr/local); uninstall takes it away again
	@sh scripts/install.sh $(if $(PREFIX),--prefix "$(PREFIX)")

uninstall:
	@sh scripts/install.sh --uninstall $(if $(PREFIX),--prefix "$(PREFIX)")

package: build ## a release in release/, with its own install.sh: for machines without npm and Go
	@sh scripts/package.sh

lint: build ## types, lint, format, dead code, import walls, generated code
	@sh scripts/lint.sh

bench: build ## ratios with both sides measured in one run
	@sh scripts/setup.sh --test
	@.cache/bin/node bench/run.ts

fuzz: setup ## random input for FUZZ_SECONDS each (default 60); FUZZ_SEED=<n> does one seed again
	@sh scripts/fuzz.sh

soak: build ## load in full size, kills of the daemon and of VMs, SOAK_SECONDS each (default 600); SOAK_SEED=<n> chooses the same again
	@sh scripts/soak.sh

generate: setup ## code of proto/, docs made from the source
	@sh scripts/generate.sh

format: setup
	@.cache/bin/node node_modules/.bin/oxfmt . && .cache/bin/gofmt -w go

setup:
	@sh scripts/setup.sh

clean:
	rm -rf dist .cache

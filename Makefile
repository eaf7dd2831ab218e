# `make help` lists the targets. None needs privileges, but for installing packages that are missing.
PREFIX = /usr/local
TORTURE_SECONDS = 900
REV = HEAD
# Of the mutants of every line, how many at random.
SAMPLE = $(if $(SINCE),,200)
SINCE =
AB =
ARGS = --size 1G --strategy rangetree

binary = .build/release/dma-bench
# Without these a build says the revision that it had when Package.swift last changed.
anew = --manifest-cache none --disable-build-manifest-caching

# Where Debian's shells look. Its zsh has another place for packages than for /usr/local.
share = $(DESTDIR)$(PREFIX)/share
zsh = $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
installed_binary = $(DESTDIR)$(PREFIX)/bin/dma-bench
installed_page = $(share)/man/man1/dma-bench.1
installed_completions = $(share)/bash-completion/completions/dma-bench $(share)/zsh/$(zsh)/_dma-bench \
	$(share)/fish/vendor_completions.d/dma-bench.fish

.DEFAULT_GOAL = build
.PHONY: build run compare-with test check guest-test slurm-test fuzz torture mutants counts bench-micro bench-limits format install uninstall dist deb deb-test clean help setup

build: setup ## Build the program: .build/release/dma-bench
	@swift build -c release $(anew) --static-swift-stdlib --product dma-bench >&2

run: build ## Measure; ARGS='--size 4K..1G:x4 ...' for other options than those of a first look
	@$(binary) $(ARGS)

compare-with: build ## Measure REV=HEAD~1 and this tree in turns; ARGS= what, AB='--pairs 6 --fail-on 5%' how
	@scripts/compare-with '$(REV)' $(AB) -- $(ARGS)

test: ## Build and run all tests, in some eleven minutes
	@scripts/setup test
	@scripts/check build suites+optimised exhaustive program

check: ## Lint, sanitizers, fuzzing and models, in some twenty-five minutes
	@scripts/setup check
	@scripts/check

guest-test: build ## A real Linux guest under QEMU's emulation on `serve`, in a minute
	@scripts/guest-serve $(binary)

slurm-test: build ## contrib/ with a real Slurm of two nodes on this host, if it is installed
	@scripts/slurm-test $(binary)

fuzz: setup ## Fuzz each target for FUZZ_SECONDS=60
	Tests/Fuzz/run.sh $(FUZZ_SECONDS)

torture: build ## Kill devices at any moment and let any system call fail, for TORTURE_SECONDS=900
	@swift build -c release --static-swift-stdlib --product torture >&2
	@.build/release/torture steps 500 $$(($(TORTURE_SECONDS) / 4))
	@.build/release/torture table $$(($(TORTURE_SECONDS) / 4))
	@.build/release/torture runs $$(($(TORTURE_SECONDS) / 4)) $(binary)
	@.build/release/torture calls $$(($(TORTURE_SECONDS) / 4)) $(binary)

mutants: setup ## Break the product line by line, for an hour, and see that a test notices; SINCE=REV changed lines alone
	Tests/Mutants/schemata-test
	swift test --package-path Tests/Mutants/Schemata --scratch-path .build-mutants/tool
ifeq ($(SINCE),)
	Tests/Mutants/run.sh
endif
	SAMPLE=$(SAMPLE) SINCE=$(SINCE) Tests/Mutants/schemata all

counts: setup ## Instructions, locked ones and cache lines of each strategy's pin, into results/counts.csv
	@scripts/setup check
	@swift build --package-path Benchmarks -c release --product Counts >&2
	@Benchmarks/.build/release/Counts >results/counts.csv

bench-micro: setup ## Micro-benchmarks of PinLock and DmaWriter
	swift package --package-path Benchmarks benchmark --no-progress --grouping metric

bench-limits: build ## The targets: what we take, beside the least it can cost in C; GROUPS='locks lists', KEEP=FILE
	@swift build --package-path Benchmarks -c release --product Limits >&2
	@DMA_BENCH_BINARY=$(binary) $(if $(KEEP),DMA_BENCH_KEEP='$(KEEP)') Benchmarks/.build/release/Limits $(GROUPS)

format: ## Format every Swift file in place
	swift format -i -r Sources Tests Benchmarks Package.swift

install: ## Install what was built below PREFIX=/usr/local, DESTDIR= before it
	@test -x $(binary) || $(MAKE) build
	install -D -m 755 $(binary) $(installed_binary)
	install -D -m 644 docs/dma-bench.1 $(installed_page)
	install -d $(dir $(installed_completions))
	$(binary) --generate-completion-script bash >$(word 1,$(installed_completions))
	$(binary) --generate-completion-script zsh >$(word 2,$(installed_completions))
	$(binary) --generate-completion-script fish >$(word 3,$(installed_completions))

uninstall: ## Remove what was installed, with the same PREFIX and DESTDIR
	rm -f $(installed_binary) $(installed_page) $(installed_completions)

dist: setup ## An archive of the program for other machines, in .build/dist
	@scripts/dist

deb: setup ## A package for Debian and its like, in .build/deb
	@scripts/deb

deb-test: deb ## Install that package into an empty root, and run it there
	@scripts/deb-test .build/deb/dma-bench_*.deb

clean: ## Remove everything that was built
	rm -rf .build .build-* Benchmarks/.build

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 14

setup:
	@scripts/setup

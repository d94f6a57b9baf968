# The front door: each target does all the set-up it needs. `make help` lists them.
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)
# Most tests wait for a server or a process: more of them than processors.
export CTEST_PARALLEL_LEVEL ?= $(shell expr $(JOBS) \* 2)

ifneq ($(shell command -v ccache 2>/dev/null),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
export CCACHE_SLOPPINESS ?= pch_defines,time_macros,include_file_mtime,include_file_ctime
export CCACHE_BASEDIR ?= $(CURDIR)
endif

# Configures once (ninja repeats it when a CMake file changes) and builds, telling only what matters.
configure = { [ -f build/$(1)/build.ninja ] || cmake --preset $(1) --log-level=WARNING >/dev/null; }
compile = $(call configure,$(1)) && cmake --build build/$(1) -j $(JOBS) $(2) -- --quiet

.PHONY: help deps build test test-matrix test-long test-asan test-tsan lint format bench demo \
  install clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

deps: ## install what is missing (Debian)
	@tools/install-deps

build: deps ## compile everything, for debugging
	@$(call compile,debug)

test: build ## all tests, on the PostgreSQL at hand
	@ctest --preset debug

test-matrix: build ## database tests on PostgreSQL 14 to 18 (VERSIONS="14 18", LABELS=pg)
	@tools/install-deps --matrix
	@tools/test-matrix $(VERSIONS)

test-long: build ## fuzzing, property, chaos and trial tests for minutes instead of seconds (SECONDS=300)
	@MATVIEW_FUZZ_SECONDS=$(or $(SECONDS),300) MATVIEW_CHAOS_SECONDS=$(or $(SECONDS),300) \
	  MATVIEW_TRIAL_SECONDS=$(or $(SECONDS),300) RC_PARAMS=max_success=100000 \
	  ctest --preset debug -L 'fuzz|unit|chaos|trial' --timeout 86400

test-asan: deps ## unit and pg tests under the address and undefined-behaviour sanitizers
	@$(call compile,asan,--target unit_tests pg_tests example_tests) && \
	  ctest --preset asan -L '^(unit|pg)$$'

test-tsan: deps ## unit and pg tests under the thread sanitizer
	@$(call compile,tsan) && ctest --preset tsan -L '^(unit|pg)$$'

lint: deps ## formatting, layers, clang-tidy (FILES="src/a.cpp ..." for some)
	@tools/lint $(FILES)

format: deps ## clang-format in place
	@tools/lint --sources | xargs clang-format -i

bench: deps ## the benchmarks
	@$(call compile,release)
	@for program in build/release/bench/*_bench; do "$$program" || exit; done

demo: deps ## the whole life of three views on real flights
	@$(call compile,release,--target matview_program)
	@build/release/apps/matview/matview demo

install: deps ## to PREFIX, default /usr/local
	@$(call compile,release)
	@cmake --install build/release $(if $(PREFIX),--prefix "$(abspath $(PREFIX))")

clean: ## remove what was built
	@rm -rf build

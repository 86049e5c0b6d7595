# A thin front over CMake and the scripts of tools/. `make` alone says what there is.
.POSIX:
.PHONY: help run test conformance ci model bench coverage lint format clean
FULL =
ARGS =

help:
	@echo 'make run       installs what is missing, builds, and plays the demo: a program always ends'
	@echo 'make test      installs what is missing, builds, and runs all tests'
	@echo 'make conformance  the Autobahn test suite, both roles; FULL=1: all messages of the cases that measure'
	@echo 'make ci        what .ci/run does: make test, and the same under clang and sanitizers, fuzzing, lint'
	@echo 'make model     checks the Promela model of the exit contract with spin'
	@echo 'make bench     runs the benchmark and writes bench/results/'
	@echo 'make coverage  runs the tests with gcov and prints the coverage of each file'
	@echo 'make lint      clang-format, clang-tidy and cppcheck, changing nothing'
	@echo 'make format    lets clang-format rewrite the sources'
	@echo 'make clean     removes build/'

run:
	@tools/setup run
	@tools/build release
	@build/release/demo/story $(ARGS)

test:
	@tools/setup test
	@tools/run-tests $(ARGS)

conformance:
	@tools/setup test
	@tools/build release
	@FULL=$(FULL) tests/conformance/run $(ARGS)

ci:
	@CI=true .ci/run

model:
	@tools/setup test
	@tools/run-tests --only model

bench:
	@tools/setup bench
	@tools/build release
	@bench/run-blocking $(ARGS)
	@bench/run-server $(ARGS)
	@bench/run-idle $(ARGS)

coverage:
	@tools/setup test
	@tools/coverage

lint:
	@tools/setup ci
	@tools/lint

format:
	@tools/setup test
	@tools/lint --fix

clean:
	rm -rf build

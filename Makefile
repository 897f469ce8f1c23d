# From a fresh checkout: `make demo` shows what sftn does, `make test` runs all tests.  CMake does the
# work; CMakePresets.json has the other builds.
BUILD  ?= build
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
MAKEFLAGS += --no-print-directory

.PHONY: all demo test mutate install clean
all:
	@scripts/setup.sh
	@cmake -S . -B $(BUILD)
	@cmake --build $(BUILD) -j $(JOBS)

demo: all
	@scripts/setup.sh --demo
	@scripts/demo.sh $(BUILD)/sftn

test: all
	@status=0; (cd $(BUILD) && ctest -j $(JOBS) --output-on-failure --no-tests=error) || status=1; \
	tests/skips.sh $(BUILD) && exit $$status

# One to two hours: breaks the library in 300 ways, one at a time, and lists what no test notices.
mutate:
	@tests/mutate --jobs $(JOBS)

install: all
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	@rm -rf $(BUILD)

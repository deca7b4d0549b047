# bearerd: build, try, test, install.
#
#   make            build/bearerd
#   make run        install what the build needs, build, and try it on loopback
#   make check      install what the tests need and run them all
#   make help       the other targets

PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
# address (with undefined) or thread; empty for the ordinary build
SANITIZE ?=
# V=1 shows the commands
V ?=
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

BUILD_PACKAGES = gcc make libmicrohttpd-dev libgnutls28-dev libjwt-dev libjansson-dev libssl-dev \
                 libcurl4-openssl-dev libcyaml-dev libyaml-dev libsystemd-dev
CHECK_PACKAGES = check curl ca-certificates openssl procps python3 systemd libfaketime \
                 nginx-light caddy haproxy apache2 lua-socket tinyproxy prometheus chromium
LINT_PACKAGES = clang-format clang-tidy cppcheck
FUZZ_PACKAGES = clang
BENCH_PACKAGES = nginx-light haproxy apache2-bin libapache2-mod-oauth2 wrk openssl python3
INSTRUCTIONS_PACKAGES = valgrind openssl python3 util-linux

CC ?= gcc
VERSION := $(shell sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)

WARNINGS = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
           -Wpointer-arith -Wcast-qual -Wvla -Wundef -Wformat=2 -Wwrite-strings
HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE \
            $(if $(findstring x86_64,$(shell uname -m)),-fcf-protection)
CFLAGS ?= -O2 -g
BASE_CFLAGS = -std=gnu11 -I. -D_GNU_SOURCE -DBEARERD_VERSION='"$(VERSION)"' $(WARNINGS) -pthread
LIBS = -lmicrohttpd -lgnutls -ljwt -ljansson -lssl -lcrypto -lcurl -lcyaml -lyaml -lsystemd -lm
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread

# In a sanitizer build the sanitizer does what the hardening flags would, and better.
ifeq ($(SANITIZE),)
BUILD = build
BASE_CFLAGS += $(HARDENING)
else ifeq ($(SANITIZE),address)
BUILD = build/address
BASE_CFLAGS += -fPIE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SANITIZE),thread)
BUILD = build/thread
BASE_CFLAGS += -fPIE -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS += -fsanitize=thread
else
$(error SANITIZE is address or thread, not "$(SANITIZE)")
endif

LIB_SOURCES := $(filter-out server/main.c,$(wildcard common/*.c server/*.c server/*/*.c))
SUPPORT_SOURCES := $(wildcard tests/support/*.c)
UNIT_SOURCES := $(wildcard tests/unit/*.c tests/unit/*/*.c tests/unit/*/*/*.c)
INTEGRATION_SOURCES := $(wildcard tests/integration/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB = $(BUILD)/libbearerd.a
PROGRAM = $(BUILD)/bearerd

.PHONY: all
all: $(PROGRAM)

$(PROGRAM): $(call objects,server/main.c) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIB): $(call objects,$(LIB_SOURCES))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The assembler takes the page in as it stands (.incbin); the compiler lists no such dependency.
$(BUILD)/server/answer/page.o: server/answer/page.html

# Objects depend on the flags they were made with.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(subst ','\'',$(BASE_CFLAGS)) $(CFLAGS) $(LDFLAGS)' > $@.new
	@cmp -s $@ $@.new && rm -f $@.new || mv $@.new $@
.PHONY: FORCE
FORCE:

# --- tests -----------------------------------------------------------------------------------

$(BUILD)/tests/unit.test: $(call objects,$(UNIT_SOURCES) $(SUPPORT_SOURCES)) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit $(LIBS)

$(BUILD)/tests/integration.test: $(call objects,$(INTEGRATION_SOURCES) $(SUPPORT_SOURCES)) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit $(LIBS)

# Each fuzzer, linked with a main that replays files: the corpus runs with every check.
REPLAYERS = $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%.replay,$(FUZZ_SOURCES))
$(BUILD)/tests/fuzz/%.replay: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)
.PRECIOUS: $(BUILD)/%.o

.PHONY: tests
tests: $(PROGRAM) $(BUILD)/tests/unit.test $(BUILD)/tests/integration.test $(REPLAYERS)

.PHONY: check
check: check-deps
	@$(MAKE) --no-print-directory -j$$(nproc) tests
	@BUILD=$(BUILD) SANITIZE=$(SANITIZE) tests/run

# Coverage-guided fuzzing of every parser, FUZZ_SECONDS each; findings land in build/fuzz/.
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz:
	@tests/support/install $(BUILD_PACKAGES) $(FUZZ_PACKAGES)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run

.PHONY: lint
lint:
	@tests/support/install $(BUILD_PACKAGES) $(CHECK_PACKAGES) $(LINT_PACKAGES)
	@tests/project/lint

C_FILES = $(shell git ls-files '*.c' '*.h' 2>/dev/null)
.PHONY: format format-check
format:
	clang-format -i $(C_FILES)
format-check:
	@tests/support/install $(LINT_PACKAGES)
	clang-format --dry-run --Werror $(C_FILES)

# The sample configuration is written by the table of options itself.
conf/bearerd.yaml: server/config/schema.c $(PROGRAM)
	$(PROGRAM) check --example > $@

# Beside HAProxy and Apache, which check the same, and nginx, which checks nothing. Results land in
# build/bench/results.json; BENCH=... hands options to tests/bench/run, which --help tells.
BENCH ?=
BENCH_TOOLS = $(BUILD)/tests/bench/mint $(BUILD)/tests/bench/pace
$(BENCH_TOOLS): %: %.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench-tools bench bench-quick
bench-tools: $(PROGRAM) $(BENCH_TOOLS)
bench bench-quick:
	@tests/support/install $(BUILD_PACKAGES) $(BENCH_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) bench-tools
	@BUILD=$(BUILD) tests/bench/run $(if $(filter bench-quick,$@),--quick) $(BENCH)

# What a request costs in instructions, calls and system calls, beside tests/instructions/expected.txt;
# the second one writes that file.
.PHONY: instructions instructions-update
instructions instructions-update:
	$(if $(SANITIZE),$(error instructions are counted without SANITIZE))
	@tests/support/install $(BUILD_PACKAGES) $(INSTRUCTIONS_PACKAGES)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@BUILD=$(BUILD) tests/instructions/run $(if $(filter instructions-update,$@),--update)

# --- packages --------------------------------------------------------------------------------

.PHONY: deps check-deps
deps:
	@tests/support/install $(BUILD_PACKAGES)
check-deps:
	@tests/support/install $(BUILD_PACKAGES) $(CHECK_PACKAGES)

# --- use -------------------------------------------------------------------------------------

.PHONY: run
run:
	@tests/support/install $(BUILD_PACKAGES) curl
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@exec $(PROGRAM) dev

.PHONY: install
install: $(PROGRAM)
	install -D -m 0755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/bearerd
	install -D -m 0644 conf/bearerd.yaml $(DESTDIR)$(SYSCONFDIR)/bearerd/bearerd.yaml.example
	install -d $(DESTDIR)$(PREFIX)/share/doc/bearerd/examples
	install -m 0644 conf/examples/* $(DESTDIR)$(PREFIX)/share/doc/bearerd/examples/
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|@BINDIR@|$(PREFIX)/bin|' systemd/bearerd.service > $(DESTDIR)$(UNITDIR)/bearerd.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/bearerd.service
	install -D -m 0644 systemd/bearerd.socket $(DESTDIR)$(UNITDIR)/bearerd.socket

.PHONY: clean
clean:
	rm -rf build

.PHONY: help
help:
	@echo 'all run check install clean deps fuzz lint format format-check'
	@echo 'check SANITIZE=address|thread   the same tests under a sanitizer'
	@echo 'bench, bench-quick              how fast, beside HAProxy, Apache and nginx'
	@echo 'instructions                    what a request costs, beside the figures that are kept'
	@echo 'install PREFIX=/usr DESTDIR=/tmp/stage'

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d $(BUILD)/*/*/*/*.d $(BUILD)/*/*/*/*/*.d)

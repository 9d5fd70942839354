# The one entry point: `make help` lists the targets.

VARIANT ?= gcc
FORCE ?=

build := $(CURDIR)/build
linux := $(build)/linux
export PYTHONDONTWRITEBYTECODE := 1

# What is built must not depend on what else is installed: no Java, LLVM, Perl and the like, and
# user stacks are unwound with libdw.
common := BUILD_BPF_SKEL=0 NO_JVMTI=1 NO_LIBUNWIND=1 NO_LIBLLVM=1 NO_LIBPERL=1 NO_CAPSTONE=1 \
	NO_LIBDEBUGINFOD=1 NO_SHELLCHECK=1

# Sanitizers find more with assertions on, which perf has only with DEBUG=1.  -O1 leaves them fast
# enough for the shell tests.  With their code in between, gcc sees uninitialized variables in the
# base where there are none.
sanitize = DEBUG=1 NO_LIBPYTHON=1 \
	EXTRA_CFLAGS="-O1 -fno-omit-frame-pointer -Wno-error=maybe-uninitialized $(1)"

args-gcc   := $(common)
args-base  := $(common)
# With clang, perf's setup.py leaves an a.out in the source tree.
args-clang := $(common) CC=clang CXX=clang++ HOSTCC=clang NO_LIBPYTHON=1
args-asan  := $(common) $(call sanitize,-fsanitize=address)
# gcc says of fences, which perf itself has none of, that the thread sanitizer doesn't know them.
args-tsan  := $(common) $(call sanitize,-Wno-error=tsan -fsanitize=thread)
args-ubsan := $(common) $(call sanitize,-fsanitize=undefined -fno-sanitize-recover=undefined)
# What perf's own tests/make calls minimal.
args-min   := $(common) NO_LIBTRACEEVENT=1 NO_LIBPYTHON=1 NO_DEMANGLE=1 NO_LIBELF=1 NO_BACKTRACE=1 \
	NO_LIBNUMA=1 NO_LIBDW_DWARF_UNWIND=1 NO_AUXTRACE=1 NO_LIBBPF=1 NO_LIBCRYPTO=1 NO_SDT=1 \
	NO_LIBZSTD=1 NO_LIBCAP=1 NO_SYSCALL_TABLE=1 NO_SLANG=1 NO_LZMA=1 NO_LIBPFM4=1 \
	NO_LIBBABELTRACE=1

variants := $(patsubst args-%,%,$(filter args-%,$(.VARIABLES)))

.PHONY: help deps tree perf perf-base inject audit demo bench test series refresh check check-commits clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 16

deps: ## install what is missing of scripts/packages
	@scripts/deps.sh

# The list is asked for only when it changed: instant every other time.
$(build)/deps.stamp: scripts/packages scripts/deps.sh
	@scripts/deps.sh
	@mkdir -p $(@D) && touch $@

tree: $(build)/deps.stamp ## build/linux: the base with the series on it, a commit each (FORCE=1: over local work)
	@FORCE=$(FORCE) scripts/tree.sh

# $(call build-perf,SOURCE TREE,VARIANT,SYMLINK): perf tracks its files but not its options, so
# other options start from nothing.
define build-perf
	@mkdir -p $(build)/obj/$(2)
	@echo '$(args-$(2))' | cmp -s - $(build)/obj/$(2)/args || { \
		rm -rf $(build)/obj/$(2) && mkdir $(build)/obj/$(2) && \
		echo '$(args-$(2))' >$(build)/obj/$(2)/args; }
	@MAKEFLAGS= $(MAKE) -C $(1)/tools/perf JOBS=$$(nproc) O=$(build)/obj/$(2) $(args-$(2))
	@ln -sfn obj/$(2)/perf $(build)/$(3)
endef

perf: tree ## build/perf, or build/perf-VARIANT with VARIANT=asan, tsan, ubsan, clang or min
	@$(if $(filter $(VARIANT),$(variants)),,echo 'no such VARIANT: $(VARIANT)' >&2; exit 1)
	$(call build-perf,$(linux),$(VARIANT),perf$(patsubst %,-%,$(filter-out gcc,$(VARIANT))))

perf-base: tree ## build/perf-base: perf of the base, without the series
	@git -C $(linux) worktree prune
	@[ -e $(linux)-base/.git ] || git -C $(linux) worktree add -q --detach $(linux)-base base
	@git -C $(linux)-base checkout -q --detach base
	$(call build-perf,$(linux)-base,base,perf-base)

inject: perf ## make from IN, write OUT, which is safe to share: make inject IN=perf.data OUT=safe.data
	@[ '$(IN)' ] && [ '$(OUT)' ] || { echo 'usage: make inject IN=perf.data OUT=safe.data' >&2; exit 1; }
	@$(build)/perf inject --aslr -i '$(IN)' -o '$(OUT)'

audit: ## look for addresses of ORIG in SAFE: make audit ORIG=perf.data SAFE=safe.data
	@[ '$(ORIG)' ] && [ '$(SAFE)' ] || { echo 'usage: make audit ORIG=perf.data SAFE=safe.data' >&2; exit 1; }
	@python3 tools/perf/tests/shell/lib/aslr_audit.py '$(ORIG)' '$(SAFE)'

demo: perf ## record a forking program, make it safe, show that the reports agree
	@scripts/demo.sh

bench: perf perf-base ## time and memory of --aslr against the base and cp (BENCH=--quick: smaller inputs, half a minute)
	@python3 scripts/bench.py $(BENCH)

test: $(build)/deps.stamp ## build perf and perf-asan and run every test
	@scripts/test.sh

series: tree ## build/series/*.patch: complete, mailable, with the cover letter
	@scripts/series.sh

refresh: $(build)/deps.stamp ## bring the commits of build/linux back to patches/6.12 and tools
	@FORCE=$(FORCE) scripts/refresh.sh

check: series ## the series applies, agrees with the tree, and follows the kernel's rules
	@scripts/check.sh

check-commits: tree ## every commit builds with gcc and clang and passes its C tests
	@ARGS_GCC='$(args-gcc)' ARGS_CLANG='$(args-clang)' scripts/check-commits.sh

clean: ## remove what was built; build/linux stays
	@rm -rf $(build)/obj $(build)/perf* $(build)/series $(build)/test $(build)/demo $(build)/bench

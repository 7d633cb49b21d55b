# Async from Scratch. `make` alone prints every command.

ifneq ($(shell uname -s),Linux)
$(error This course needs Linux (epoll): use a container, a virtual machine, or WSL on Windows)
endif

# Options: make test CXX=clang++-19    make test SANITIZE=address,undefined    make serve-03 PORT=7001
CXX ?= g++
SANITIZE ?=
PORT ?= 7000
WORK ?=

# As many jobs as cores, unless the command line gives a number.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory

comma := ,
# One word for the shell, with whatever apostrophes and blanks are in it.
quoted = '$(subst ','\'',$(1))'
# g++ builds in build/; another compiler or a sanitizer in a folder of its own below it.
variant := $(if $(filter-out g++,$(CXX)),$(notdir $(lastword $(CXX))))$(if $(SANITIZE),-sanitize-$(subst $(comma),-,$(SANITIZE)))
B := build$(if $(variant),/$(variant:-%=%))

CPPFLAGS := -I.
# g++ makes symmetric transfer (chapter 07) a tail call only with -foptimize-sibling-calls.
# -g1: line numbers for debuggers and sanitizers; with the whole -g, compiling takes a third longer.
CXXFLAGS := -std=c++20 -O2 -g1 -Wall -Wextra -Wpedantic -Werror -foptimize-sibling-calls -pthread
LDFLAGS := -pthread
ifneq ($(wildcard .handout),)  # in a hand-out, unsolved exercises leave parameters unused
CXXFLAGS += -Wno-unused -Wno-unused-parameter
endif
ifneq ($(SANITIZE),)
CXXFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=$(SANITIZE)
ifneq ($(findstring clang,$(CXX)),)
# As a library, like with g++: the tests that replace system calls must come before the sanitizer.
LDFLAGS += -shared-libsan -Wl,-rpath,$(shell $(CXX) -print-resource-dir)/lib/linux
endif
ifneq ($(findstring undefined,$(SANITIZE)),)
# The check of virtual tables needs a pipe, so it reports good objects as bad when a test has filled
# the descriptor table.
CXXFLAGS += -fno-sanitize=vptr
endif
endif

# --- Sources and programs ----------------------------------------------------------------------

chapters := $(patsubst chapters/%/main.cpp,%,$(sort $(wildcard chapters/*/main.cpp)))
steps := $(sort $(wildcard chapters/*/steps/*.cpp))
suites := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tests/*/*_test.cpp)))))

# "02.1" for chapters/02-polling/steps/1-eagain.cpp
step_number = $(firstword $(subst -, ,$(patsubst chapters/%,%,$(1)))).$(firstword $(subst -, ,$(notdir $(1))))
wrongs := $(sort $(wildcard chapters/*/wrong/*.cpp))

numbers := $(foreach chapter,$(chapters),$(firstword $(subst -, ,$(chapter))))
step_numbers := $(foreach step,$(steps),$(call step_number,$(step)))
wrong_numbers := $(foreach wrong,$(wrongs),$(call step_number,$(wrong)))
exercise_numbers := $(sort $(notdir $(basename $(wildcard tests/exercises/holes/*.txt))))

# In a hand-out, programs whose sources have holes cannot be built here. They come finished, for the
# kind of machine that the hand-out was made on: tests/exercises/handout.py. Where they cannot run,
# they are `missing`.
-include .handout/held.mk
finished := $(if $(held_programs),$(shell folder=.handout/finished/$$(uname -m); \
  $$folder/$(firstword $(held_programs)) --help >/dev/null 2>&1 && echo $$folder))
missing := $(if $(finished),,$(held_programs))
built_here = $(filter-out $(held_programs:%=$(B)/%),$(1))

all_programs := $(chapters) 01-threads 08-chat
programs := $(addprefix $(B)/,$(filter-out $(missing),$(all_programs)))
step_programs := $(addprefix $(B)/,$(filter-out $(missing),$(step_numbers:%=steps/%)))
test_programs := $(suites:%=$(B)/tests/%)
fault_library := $(B)/tests/faults.so

# --- A wrong number ----------------------------------------------------------------------------

# run-42 is answered by one line that says what there is, and ends with status 1.
places_of_run := $(numbers)
places_of_test := $(numbers)
places_of_serve := $(filter-out 07,$(numbers)) threads chat
places_of_step := $(step_numbers)
places_of_wrong := $(wrong_numbers)
$(foreach verb,start reset submit,$(eval places_of_$(verb) := $(numbers)))
$(foreach verb,check hint watch debug solution,$(eval places_of_$(verb) := $(numbers) $(exercise_numbers)))

verb_of = $(firstword $(subst -, ,$(1)))
place_of = $(patsubst $(verb_of)-%,%,$(1))
places_of = $(places_of_$(verb_of))
kind_of = $(if $(findstring .,$(1)),$(or $(filter step wrong,$(verb_of)),exercise),chapter)
like = $(if $(findstring .,$(1)),$(or $(filter $(basename $(1)).%,$(2)),$(filter-out $(numbers),$(2))),$(numbers))
refusal_of = $(if $(filter serve-07,$(1)),chapter 07 is not a server: its clock is simulated$(comma) and no \
  byte arrives; try: make run-07,there is no $(kind_of) $(place_of); there are: $(call like,$(place_of),$(places_of)))

refused := $(strip $(foreach goal,$(MAKECMDGOALS),\
  $(if $(findstring -,$(goal)),$(if $(call places_of,$(goal)),\
    $(if $(filter $(call place_of,$(goal)),$(call places_of,$(goal))),,$(goal))))))
ifneq ($(refused),)
$(shell echo 'make: $(call refusal_of,$(firstword $(refused)))' >&2)
# This is how make ends with an error and prints no line of its own: -q runs nothing, and says so
# with status 1. (Recipes with $(MAKE) would run even so: hence the other shell.)
MAKEFLAGS += -q
SHELL := true
.PHONY: refusal
$(MAKECMDGOALS): refusal
refusal:
	@:
endif

# Goals that are given together are made one after another, in the order in which they are given.
# Each is made by a make of its own, which works on as many files at once as there are cores.
ifneq ($(if $(refused),,$(if $(filter 0,$(MAKELEVEL)),$(word 2,$(MAKECMDGOALS)))),)
.NOTPARALLEL:
.PHONY: $(MAKECMDGOALS)
$(sort $(MAKECMDGOALS)):
	@$(MAKE) $@
else

# --- The learner's commands --------------------------------------------------------------------

.DEFAULT_GOAL := help
.PHONY: help help-all all run test bench clean format lint compdb conformance docs-check docs-check-code docs-fix need-python need-node need-doctest FORCE

help:
	@echo 'Async from Scratch: one echo server, many ways of waiting.'
	@echo
	@echo '  make run            the tour: every server against the same crowd, one table'
	@echo '  make run-03         one server against the crowd, with its timeline'
	@echo '  make serve-03       just the server; talk to it with: nc localhost 7000'
	@echo '  make step-02.1      a step on the way to a chapter'
	@echo '  make test           all tests                  make test-03  of one chapter'
	@echo '  make bench          the cost of a request, beside libuv, Asio, Node.js...'
	@echo '  make help-all       the other commands, for authors and teachers'
	@echo
	@echo 'Exercises: write the code that makes the tests of a chapter pass.'
	@echo '  make start-01       your copy in work/, with holes    make reset-01'
	@echo '  make check          the next exercise     make check-01    make check-01.2'
	@echo '  make progress       what is done          make watch-01    make debug-01.2'
	@echo '  make hint-01.2      shows one more hint each time'
	@echo '  make solution-01.2  our solution beside yours, once yours passes'
	@echo '  make run-01 WORK=1  what you have written; WORK=1 also with run, serve-, step-, test-'
	@echo '  make submit-01      packs what you hand in: build/submission-01.zip'
	@echo '  make restore        the published files of chapters/ and common/ again'
	@echo
	@echo 'Options: PORT=7001 (serve)  TRACE=file (run-NN: for ui.perfetto.dev)'
	@echo '         CXX=clang++-19  SANITIZE=address,undefined  V=1 (show the commands)'
	@echo 'Chapters: $(foreach c,$(chapters),$(firstword $(subst -, ,$(c))))'

help-all: help
	@echo
	@echo 'For authors:'
	@echo '  make all            build everything into build/        make clean  remove it'
	@echo '  make compdb         compile_commands.json, for editors'
	@echo '  make wrong-08.1     a mistake and the tool that finds it  (fixed: ARGS=fixed)'
	@echo '  make format         format the code      make lint  clang-format, clang-tidy'
	@echo '  make docs-check     compare the pages with the code and with real runs'
	@echo '  make docs-check-code  compare only the code, and check the links'
	@echo '  make docs-fix       rewrite code and transcripts on pages (PAGES=docs/...)'
	@echo '  make book           the pages as a web site, in build/book/site (needs npm)'
	@echo '  make book-test      test the web site (CHROMIUM=... if not /usr/bin/chromium)'
	@echo '  make timelines      one run of the crowd, in all tables and figures'
	@echo '  make recordings     record again what the steppers of the book replay'
	@echo '  make conformance    chapter 06 under the Promises/A+ suite (needs Node.js)'
	@echo '  make bench-growth   the cost of more clients, timers and tasks (2 minutes)'
	@echo '  make mutants [CH=05]  plant faults, and list those that no test notices'
	@echo '  make figures        draw the figures of the pages from the recorded results'
	@echo
	@echo 'For teachers (docs/teaching/README.md):'
	@echo '  make handout OUT=DIR [FROM=06] [WHO=...]   the course with holes, no answers'
	@echo '             [FINISHED=no]                   and without finished programs'
	@echo '  make grade SUB=DIR [CH=05] [FORMAT=text|junit|gradescope] [OUT=FILE]'
	@echo '             [HIDDEN=DIR]                    with tests not in the hand-out'
	@echo '  make grade ALL=DIR [CH=05] [OUT=DIR]       many submissions, and grades.csv'
	@echo '  make gradescope CH=05 [HIDDEN=DIR] [OUT=FILE]  the zip for an autograder'
	@echo '  make verify-exercises [CH=05]              checks the exercises themselves'
	@echo '  make handout-test                          types all commands in hand-outs'

all: $(programs) $(step_programs) $(test_programs) $(fault_library)

# A number like 03 stands for chapters/03-*.
chapter_of = $(firstword $(filter $(1)-%,$(chapters)))
programs_of = $(filter $(B)/$(1)-%,$(programs))

ifeq ($(WORK),)

# $(call ready,PROGRAM,NUMBER): in a hand-out, says where the program comes from, or what to do first.
ready = $(if $(filter $(1),$(missing)),echo 'make: $(2) is not written yet: make start-$(firstword $(subst ., ,$(2)))'; exit 0;)\
  $(if $(filter $(1),$(held_programs)),echo "This program came finished: $(notdir $(1)). Yours: add WORK=1." >&2;)

# The row of a server that failed says what went wrong: no error of make, which would add a line.
row_says_why = [ $$? -eq 1 ]

run: $(filter-out %-chat,$(programs)) need-python
	@python3 tests/crowd/crowd.py --build $(B) $(from:%=--yours-from %) || $(row_says_why)

run-%: FORCE need-python
	@$(call ready,$(call chapter_of,$*),$*) $(MAKE) -s $(call programs_of,$*) && \
	  { python3 tests/crowd/crowd.py --build $(B) $* $(if $(TRACE),--trace $(call quoted,$(TRACE))) || $(row_says_why); }

serve_program = $(or $(call chapter_of,$(1)),$(filter 01-$(1) 08-$(1),$(all_programs)))
serve-%: FORCE
	@$(call ready,$(call serve_program,$*),$(firstword $(subst -, ,$(call serve_program,$*)))) \
	  $(MAKE) -s $(B)/$(call serve_program,$*) && exec $(B)/$(call serve_program,$*) --port $(PORT) $(ARGS)

step-%: FORCE
	@$(call ready,steps/$*,$*) $(MAKE) -s $(B)/steps/$* && exec $(B)/steps/$*

# Wrong on purpose, for the sanitizers to find: make wrong-08.1; with ARGS=fixed, the correct version.
wrong-%: FORCE
	@$(call ready,wrong/$*,$*) $(MAKE) -s $(B)/wrong/$* && { $(B)/wrong/$* $(ARGS) || \
	  echo "make: it ended with status $$?: it is wrong on purpose" >&2; }

test: $(programs) $(filter-out $(held:%=$(B)/tests/%-%),$(test_programs)) $(fault_library) need-python
	@python3 tests/run.py --build $(B) $(from:%=--yours-from %)

test-%: FORCE need-python
	@$(if $(filter $*,$(held)),echo 'make: $* is yours to write here; tests of yours: make check-$* and make test-$* WORK=1'; exit 0;) \
	  $(MAKE) -s $(call programs_of,$*) $(B)/tests/$(call chapter_of,$*) \
	  $(B)/tests/service $(fault_library) && python3 tests/run.py --build $(B) $*

else

# With WORK=1 the same commands run what the learner has written.
own = $(exercises) $(subst -, ,$@) BUILD='$(B)' PORT='$(PORT)' ARGS='$(ARGS)' TRACE=$(call quoted,$(TRACE)) || $(said_why)

run: $(filter-out %-chat,$(programs)) need-python
	@$(own)

run-%: FORCE need-python
	@$(if $(call programs_of,$*),$(MAKE) -s $(call programs_of,$*) &&) $(own)

test: need-python need-doctest
	@$(own)

test-%: FORCE need-python need-doctest
	@$(own)

serve-%: FORCE need-python
	@$(own)

step-%: FORCE need-python
	@$(own)

wrong-%: FORCE need-python
	@$(own)

endif

# The exercises: holes, tests, hints and grades. The last line that a command prints is the next
# command to type. So neither a failing test (status 1) nor a refusal that says what to do first
# (status 2) is an error of make, which would add a line.
said_why = [ $$? -le 2 ]
exercises = PYTHONUTF8=1 CXX='$(CXX)' SANITIZE='$(SANITIZE)' python3 tests/exercises/exercises.py
exercise_verbs := start check hint watch debug reset solution submit

.PHONY: check progress restore submit handout handout-test grade gradescope verify-exercises
check progress restore submit: need-python need-doctest
	@$(exercises) $@ || $(said_why)

define exercise_rule
$(1)-%: FORCE need-python need-doctest
	@$$(exercises) $$(subst -, ,$$@) FORCE=$$(FORCE) OUT=$$(call quoted,$$(OUT)) || $$(said_why)
endef
$(foreach verb,$(exercise_verbs),$(eval $(call exercise_rule,$(verb))))

handout: need-python $(if $(filter no,$(FINISHED)),,$(programs) $(step_programs) $(wrong_numbers:%=$(B)/wrong/%))
	@$(exercises) handout OUT=$(call quoted,$(OUT)) FROM=$(call quoted,$(FROM)) WHO=$(call quoted,$(WHO)) $(if $(filter no,$(FINISHED)),,BUILD='$(B)')

handout-test: need-python need-doctest
	@python3 tests/exercises/handout_walk.py $(ARGS)

grade gradescope: need-python need-doctest
	@$(exercises) $@ SUB=$(call quoted,$(SUB)) ALL=$(call quoted,$(ALL)) CH=$(call quoted,$(CH)) FORMAT=$(call quoted,$(FORMAT)) HIDDEN=$(call quoted,$(HIDDEN)) OUT=$(call quoted,$(OUT))

verify-exercises: need-python need-doctest
	@$(exercises) verify CH='$(CH)'

# --- The maintainer's commands -----------------------------------------------------------------

# Plants faults one at a time, and says which of them no test notices: tests/mutants/mutants.py.
.PHONY: mutants
mutants: need-python need-doctest
	@python3 tests/mutants/mutants.py $(if $(CH),CH='$(CH)') $(if $(ID),ID='$(ID)') $(if $(JOBS),JOBS='$(JOBS)')

sources = $(shell git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp')
CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-19 clang-format 2>/dev/null) clang-format)
CLANG_TIDY ?= $(firstword $(shell command -v clang-tidy-19 clang-tidy 2>/dev/null) clang-tidy)

format:
	@$(CLANG_FORMAT) -i $(sources)

lint: need-doctest
	@$(CLANG_FORMAT) --dry-run --Werror $(sources)
	@printf '%s\n' $(filter-out tests/conformance/% tests/bench/peers/%,$(filter %.cpp,$(sources))) | xargs -P $(shell nproc) -n 1 \
	  sh -c '$(CLANG_TIDY) --quiet --warnings-as-errors="*" "$$0" -- -std=c++20 -I. 2>/dev/null || exit 1'

compdb:
	@python3 -c 'import json, os, sys; json.dump([{"directory": os.getcwd(), "file": f, "command": \
	  "$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c " + f} for f in sys.argv[1:]], open("compile_commands.json", "w"), indent=1)' \
	  $(filter %.cpp,$(sources))

docs-check: recordings-check
docs-check docs-fix: all need-python
	@python3 tests/docs/pages.py $(@:docs-%=%) $(PAGES)

docs-check-code: need-python
	@python3 tests/docs/pages.py check-code $(PAGES)

# The suite is JavaScript: npm fetches it, once, and an addon for Node.js makes it test our Promise.
NODE_INCLUDE ?= $(firstword $(wildcard $(dir $(shell command -v node 2>/dev/null))../include/node /usr/include/node))
conformance: $(B)/conformance/addon.node $(B)/conformance/node_modules
	@node tests/conformance/run.js $< $(B)/conformance

$(B)/conformance/addon.node: tests/conformance/addon.cpp $(wildcard chapters/06-promises/*.hpp) | need-node
	@mkdir -p $(@D)
	$(call show,building $@)
	$(Q)$(CXX) $(CPPFLAGS) -isystem $(NODE_INCLUDE) $(CXXFLAGS) -fPIC -shared $< -o $@

$(B)/conformance/node_modules: tests/conformance/package-lock.json | need-node
	@mkdir -p $(@D) && cp tests/conformance/package.json $< $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@

# The book: docs/ as a web site in build/book/site, for any static file server, at any address. Its
# sources are in docs/.vitepress; npm fetches what it needs, once. Nothing else depends on it.
.PHONY: book book-test
book: $(B)/book/node_modules need-python
	@rm -rf $(B)/book/.vitepress $(B)/book/site && cp -r docs/.vitepress $(B)/book/.vitepress
	@COURSE=$(call quoted,$(CURDIR)) node $(B)/book/.vitepress/stage.mjs $(B)/book/pages $(B)/book/node_modules/mermaid/dist/mermaid.min.js
	@COURSE=$(call quoted,$(CURDIR)) $(B)/book/node_modules/.bin/vitepress build $(B)/book
	@echo 'The book is in $(B)/book/site. To read it: python3 -m http.server -d $(B)/book/site 8000'

book-test: book recordings-check
	@node tests/book/book_test.mjs $(B)/book/site $(B)/book/node_modules

# The timelines on the pages, and the table and transcripts beside them, all from one run of the
# crowd. Best on a machine that does nothing else.
.PHONY: timelines
timelines: $(programs) need-python
	@python3 tests/crowd/publish.py --build $(B)

# The runs that the steppers of the book replay: real ones, on a clock that jumps, so always the same.
recordings := 05 06 07 07-plan 08
.PHONY: recordings recordings-check
recordings: $(recordings:%=$(B)/book/recordings/%.json)
	@cp $^ docs/.vitepress/recordings/

recordings-check: $(recordings:%=$(B)/book/recordings/%.json)
	@for file in $^; do cmp $$file docs/.vitepress/recordings/$${file##*/} || \
	  { echo 'make: the recordings differ from what the loops do now; to record again: make recordings' >&2; exit 1; }; done

.PRECIOUS: $(B)/obj/tests/book/record/%.o $(B)/book/record/%
$(B)/book/record/%: $(B)/obj/tests/book/record/%.o
	$(link)

$(B)/book/recordings/07-plan.json: $(B)/book/record/07
	@mkdir -p $(@D) && $< plan > $@

$(B)/book/recordings/%.json: $(B)/book/record/%
	@mkdir -p $(@D) && $< > $@

$(B)/book/node_modules: docs/.vitepress/package-lock.json | need-npm
	@mkdir -p $(@D) && cp docs/.vitepress/package.json $< $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@

need-npm:
	@command -v npm >/dev/null || { echo 'make: this needs Node.js and npm (Debian, Ubuntu: apt-get install npm)' >&2; exit 1; }

clean:
	rm -rf build compile_commands.json

# --- How things are built ----------------------------------------------------------------------

# V=1 shows the commands themselves instead of short messages.
Q := $(if $(V),,@)
show = @$(if $(V),:,echo '$(1)')

$(B)/obj/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	$(call show,compiling $<)
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@

# Test programs are compiled without optimisation, which takes half the time; the servers that they
# start are not. With a sanitizer both are optimised, so what an optimiser makes of a header is tested.
test_objects := $(patsubst %.cpp,$(B)/obj/%.o,$(wildcard tests/*/*_test.cpp) tests/support/main.cpp)
$(test_objects): | need-doctest
ifeq ($(SANITIZE),)
$(test_objects): CXXFLAGS += -O0
# Except chapter 06's, which make millions of promises: 4 s more to compile, 21 s less to run.
$(filter $(B)/obj/tests/06-%,$(test_objects)): CXXFLAGS += -O1
endif

define link
@mkdir -p $(@D)
$(Q)$(CXX) $(LDFLAGS) $^ -o $@
endef

$(call built_here,$(chapters:%=$(B)/%)): $(B)/%: $(B)/obj/chapters/%/main.o
	$(link)

$(call built_here,$(B)/01-threads): $(B)/obj/chapters/01-blocking-read/threads.o
	$(link)

$(call built_here,$(B)/08-chat): $(B)/obj/chapters/08-coroutine-loop/exercises/chat.o
	$(link)

define step_rule
$(call built_here,$(B)/steps/$(call step_number,$(1))): $(B)/obj/$(1:.cpp=.o)
	$$(link)
endef
$(foreach step,$(steps),$(eval $(call step_rule,$(step))))

define wrong_rule
$(call built_here,$(B)/wrong/$(call step_number,$(1))): $(1) Makefile
	@mkdir -p $$(@D) $(B)/obj/wrong
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -fsanitize=address$(comma)undefined -fno-sanitize-recover=all \
	  -MMD -MP -MF $(B)/obj/wrong/$$(@F).d $$< -o $$@
endef
$(foreach wrong,$(wrongs),$(eval $(call wrong_rule,$(wrong))))

ifneq ($(finished),)
$(held_programs:%=$(B)/%): $(B)/%: $(finished)/%
	@mkdir -p $(@D) && cp $< $@
else
$(held_programs:%=$(B)/%):
	@echo "make: $(@F) is not written yet: make start-$(firstword $(subst -, ,$(subst ., ,$(@F))))"
endif

define suite_rule
$(B)/tests/$(1): $(patsubst %.cpp,$(B)/obj/%.o,$(wildcard tests/$(1)/*_test.cpp) tests/support/main.cpp)
	$$(link)
endef
$(foreach suite,$(suites),$(eval $(call suite_rule,$(suite))))

# The tests load it into a server: it counts system calls and makes chosen ones fail.
$(fault_library): tests/support/faults.cpp tests/support/faults.hpp Makefile
	@mkdir -p $(@D)
	$(call show,compiling $<)
	$(Q)$(CXX) -std=c++20 -O2 -Wall -Wextra -fPIC -shared $< -o $@ -ldl

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

include tests/bench/bench.mk

# --- Required tools and packages ---------------------------------------------------------------

need-python:
	@command -v python3 >/dev/null || { echo 'make: this needs Python 3 (Debian, Ubuntu: apt-get install python3)' >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || { echo "make: this needs Python 3.9 or newer; python3 is $$(python3 --version)" >&2; exit 1; }

need-node:
	@command -v npm >/dev/null && [ -e "$(NODE_INCLUDE)/node_api.h" ] || \
	  { echo 'make: this needs Node.js with its headers (Debian, Ubuntu: apt-get install npm libnode-dev)' >&2; exit 1; }

# doctest is the only package. It is installed here only as root; sudo is never called.
has_doctest := printf '\#include <doctest/doctest.h>' | $(CXX) -x c++ -E - >/dev/null 2>&1
need-doctest:
	@command -v $(firstword $(CXX)) >/dev/null || { echo 'make: there is no $(firstword $(CXX)): this course needs a C++20 compiler, g++ 12 or newer' >&2; exit 1; }
	@$(has_doctest) && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo 'The tests need doctest, a single-header C++ library: installing doctest-dev.'; \
	  { apt-get install -y doctest-dev || { apt-get update && apt-get install -y doctest-dev; }; } >/dev/null 2>&1; \
	  $(has_doctest) && exit 0; \
	fi; \
	echo 'make: the tests need doctest, a single-header C++ library. To install it, type:' >&2; \
	echo '  Debian, Ubuntu:  sudo apt-get install doctest-dev' >&2; \
	echo '  Fedora:          sudo dnf install doctest-devel' >&2; \
	echo '  Arch:            sudo pacman -S doctest' >&2; \
	echo '  openSUSE:        sudo zypper install doctest-devel' >&2; \
	exit 1

endif  # one goal

# make bench, bench-growth, figures. Included by the Makefile.

ROUNDS ?= 3
bench_programs := load bare-epoll bare-poll bare-select processes
bench_peers := libuv libevent asio-callbacks asio-coroutines
bench_growth := timers

# Headers and libraries of the well-known servers. A server is left out if its header is missing.
header_of_libuv := uv.h
header_of_libevent := event2/event.h
header_of_asio-callbacks := asio.hpp
header_of_asio-coroutines := asio.hpp
libs_of_libuv := -luv
libs_of_libevent := -levent

.PHONY: bench bench-growth bench-programs figures

bench: bench-programs
	@python3 tests/bench/bench.py --build $(B) --compiler $(CXX) --rounds $(ROUNDS) $(ARGS)

bench-growth: bench-programs $(bench_growth:%=$(B)/bench/%)
	@python3 tests/bench/growth.py --build $(B) --compiler $(CXX) --rounds $(ROUNDS) $(ARGS)

figures: need-python
	@python3 tests/bench/figures.py

bench-programs: $(programs) $(addprefix $(B)/bench/,$(bench_programs) $(bench_peers)) need-python

bench_build = $(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -MF $(B)/obj/bench-$(@F).d $< -o $@ $(libs_of_$(@F))

$(B)/bench/load $(B)/bench/timers: $(B)/bench/%: tests/bench/%.cpp Makefile
	@mkdir -p $(@D) $(B)/obj
	$(call show,compiling $<)
	$(Q)$(bench_build)

$(B)/bench/%: tests/bench/peers/%.cpp Makefile
	@mkdir -p $(@D) $(B)/obj
	$(Q)if [ -z "$(header_of_$*)" ] || printf '#include <$(header_of_$*)>' | $(CXX) -x c++ -E - >/dev/null 2>&1; then \
	  $(if $(V),,echo 'compiling $<';) $(bench_build); fi

// The main() of all suites: doctest's, with a watchdog and one line of result per test case.
#define DOCTEST_CONFIG_IMPLEMENT
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "common/command_line.hpp"
#include "tests/support/test.hpp"

namespace {

support::Options given;
std::string limit_words;
std::string skip_reason;

// Plain arrays: the watchdog is a signal handler, which may not touch a std::string.
char current_case[200];
char current_wait[300];

void copy(char* to, std::size_t room, const std::string& text) {
    std::snprintf(to, room, "%s", text.c_str());
}

/// Handles SIGALRM: the test case hangs. Prints that and ends the process, using only functions
/// that a signal handler may call.
void bite(int /*signal*/) {
    const char* sentence[] = {"\nThe test case \"", current_case, "\" hangs. It last waited for ",
                              current_wait, ". The watchdog has ended it.\n"};
    for (const char* part : sentence) {
        if (::write(STDOUT_FILENO, part, std::strlen(part)) < 0) break;
    }
    ::_exit(3);
}

/// Writes "RESULT <tab> case <tab> words" for each test case. doctest counts a case without any
/// assertion as passed; here it is a failure. The last line shows that the run was complete.
class Results : public doctest::IReporter {
public:
    explicit Results(const doctest::ContextOptions& /*options*/) {
        if (!given.results.empty()) file_ = std::fopen(given.results.c_str(), "a");
    }

    void test_case_start(const doctest::TestCaseData& test) override {
        name_ = test.m_name;
        limit_words.clear();
        skip_reason.clear();
        copy(current_case, sizeof current_case, name_);
        support::waiting_for("nothing in particular");
        ::alarm(static_cast<unsigned>(6 * support::deadline() / std::chrono::seconds(1)));
        line("started", "");
    }

    void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
        ::alarm(0);
        if (!stats.testCaseSuccess) {
            line("failed", "");
        } else if (!skip_reason.empty()) {
            std::printf("SKIPPED: %s: %s\n", name_.c_str(), skip_reason.c_str());
            line("skipped", skip_reason);
        } else if (stats.numAssertsCurrentTest == 0) {
            std::printf("The test case \"%s\" has checked nothing.\n", name_.c_str());
            line("failed", "it has checked nothing");
        } else {
            line("passed", limit_words);
        }
    }

    void test_run_end(const doctest::TestRunStats& /*stats*/) override {
        name_ = "-";
        line("complete", "");
    }

    void report_query(const doctest::QueryData& /*query*/) override {}
    void test_run_start() override {}
    void test_case_reenter(const doctest::TestCaseData& /*test*/) override {}
    void test_case_exception(const doctest::TestCaseException& /*exception*/) override {}
    void subcase_start(const doctest::SubcaseSignature& /*subcase*/) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData& /*assertion*/) override {}
    void log_message(const doctest::MessageData& /*message*/) override {}
    void test_case_skipped(const doctest::TestCaseData& /*test*/) override {}

private:
    void line(const char* result, const std::string& words) const {
        if (file_ == nullptr) return;
        std::fprintf(file_, "%s\t%s\t%s\n", result, name_.c_str(), words.c_str());
        std::fflush(file_);  // so that it survives a crash
    }

    std::FILE* file_ = nullptr;
    std::string name_;
};

REGISTER_LISTENER("results", 1, Results);

}  // namespace

namespace support {

const Options& options() {
    return given;
}

std::chrono::milliseconds deadline() {
    const char* factor = std::getenv("PATIENCE");
    const double times = factor != nullptr && *factor != 0 ? std::strtod(factor, nullptr) : 1;
    return std::chrono::milliseconds(static_cast<long>(10'000 * times));
}

void waiting_for(const std::string& what) {
    copy(current_wait, sizeof current_wait, what);
}

void shows_limit(const std::string& words) {
    limit_words = words;
}

void skip(const std::string& why) {
    skip_reason = why;
}

void wait_until(const std::string& what, const std::function<bool()>& condition) {
    waiting_for(what);
    const auto end = std::chrono::steady_clock::now() + deadline();
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            FAIL("waited ", deadline().count() / 1000, " s for ", what, "; it did not happen");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::string quoted(std::string_view text) {
    std::string shown = "'";
    for (const char c : text.substr(0, 60)) {
        if (c == '\\') {
            shown += "\\\\";
        } else if (c >= ' ' && c <= '~') {
            shown += c;
        } else if (c == '\n') {
            shown += "\\n";
        } else {
            char code[8];
            std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
            shown += code;
        }
    }
    if (text.size() > 60) shown += "... (" + std::to_string(text.size()) + " bytes)";
    return shown + "'";
}

std::string difference(std::string_view came, std::string_view expected) {
    if (came == expected) return "";
    const auto at =
        static_cast<std::size_t>(std::ranges::mismatch(came, expected).in1 - came.begin());
    const std::string sizes = std::to_string(expected.size()) + " bytes were expected, " +
                              std::to_string(came.size()) + " came";
    return sizes + "; from byte " + std::to_string(at) +
           " on, expected: " + quoted(expected.substr(at, 20)) +
           ", came: " + quoted(came.substr(at, 20));
}

}  // namespace support

int main(int argc, char** argv) {
    const std::pair<const char*, std::string*> known[] = {
        {"--build=", &given.build}, {"--server=", &given.server}, {"--results=", &given.results}};
    for (int i = 1; i < argc; ++i) {
        for (const auto& [name, value] : known) {
            if (std::strncmp(argv[i], name, std::strlen(name)) == 0) {
                *value = argv[i] + std::strlen(name);
            }
        }
    }
    common::raise_descriptor_limit();  // a test may need more sockets than its server
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGALRM, bite);
    doctest::Context context(argc, argv);
    return context.run();
}

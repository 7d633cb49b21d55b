// Step 02.2: many clients on one thread, each asked in turn. And a bug that no
// small test finds.
//
// Three clients. Two send a short line. The third sends four megabytes and does
// not read yet: the kernel has no room for the answer, takes a part of it, and
// the rest is forgotten.
#include <cstdio>
#include <string>
#include <vector>

#include "chapters/02-polling/steps/scripted_client.hpp"

namespace {

/// Reads what is there and writes it back. Wrong: a write may take less than it
/// is given.
bool echo(int client) {
    char buffer[16 * 1024];
    const ssize_t count = read(client, buffer, sizeof buffer);
    // Nothing yet
    if (count < 0) return errno == EAGAIN;
    // End of input
    if (count == 0) return false;
    [[maybe_unused]] const ssize_t taken =
        write(client, buffer, static_cast<std::size_t>(count));
    return true;
}

}  // namespace

int main() {
    std::vector<steps::ScriptedClient> clients;
    clients.emplace_back("ann", "hello\n");
    clients.emplace_back("bob", "good evening\n");
    clients.emplace_back("carl", std::string(4'000'000, 'x'));

    for (int turn = 0; turn < 1000; ++turn) {
        for (steps::ScriptedClient& client : clients) {
            if (client.connected() && !echo(client.server_side()))
                client.hang_up();
            client.send_more();
        }
    }
    // Only now does anybody read the answers.
    for (steps::ScriptedClient& client : clients) client.receive_all();
    for (const steps::ScriptedClient& client : clients) client.report();
}

// Step 02.2: many clients on one thread, polled in turn. And a bug that no
// small test finds.
//
// Two clients send a short line. The third sends four megabytes before it reads
// anything: the kernel runs out of room for the answer, takes a part of it, and
// this server forgets the rest.
#include <cstdio>
#include <string>
#include <vector>

#include "chapters/02-polling/steps/scripted_client.hpp"

namespace {

/// Reads once and writes the result back. Wrong: the write may be short.
bool echo(int client) {
    char buffer[16 * 1024];
    const ssize_t count = read(client, buffer, sizeof buffer);
    // EAGAIN: nothing yet. 0: end of input.
    if (count < 0) return errno == EAGAIN;
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
    // The clients read their answers only now.
    for (steps::ScriptedClient& client : clients) client.receive_all();
    for (const steps::ScriptedClient& client : clients) client.report();
}

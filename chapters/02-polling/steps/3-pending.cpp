// Step 02.3: what the kernel did not take stays pending, and the server does
// not read from a client that it still owes bytes.
//
// The same three clients as in step 02.2. Now every byte comes back, and each
// client needs one fixed buffer.
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "chapters/02-polling/steps/scripted_client.hpp"

namespace {

/// What the server remembers about a client between two turns.
struct Conversation {
    std::array<char, 16 * 1024> buffer{};
    // The bytes buffer[sent, end) are still to be written.
    std::size_t sent = 0;
    std::size_t end = 0;

    /// Makes at most one read and one write. Returns false at the end of input
    /// or if the client has disconnected.
    bool echo(int client) {
        // Nothing is pending: read.
        if (sent == end) {
            const ssize_t count = read(client, buffer.data(), buffer.size());
            if (count < 0) return errno == EAGAIN;
            if (count == 0) return false;
            sent = 0;
            end = static_cast<std::size_t>(count);
        }
        const ssize_t count = write(client, buffer.data() + sent, end - sent);
        // No room: try again in the next turn.
        if (count < 0) return errno == EAGAIN;
        sent += static_cast<std::size_t>(count);
        return true;
    }
};

}  // namespace

int main() {
    std::vector<steps::ScriptedClient> clients;
    clients.emplace_back("ann", "hello\n");
    clients.emplace_back("bob", "good evening\n");
    clients.emplace_back("carl", std::string(4'000'000, 'x'));
    std::vector<Conversation> conversations(clients.size());

    for (int turn = 0; turn < 1000; ++turn) {
        for (std::size_t i = 0; i < clients.size(); ++i) {
            steps::ScriptedClient& client = clients[i];
            if (client.connected() &&
                !conversations[i].echo(client.server_side()))
                client.hang_up();
            client.send_more();
            // The clients are slow: they read only in the second half.
            if (turn >= 500) client.receive_some();
        }
    }
    for (const steps::ScriptedClient& client : clients) client.report();
}

// Step 02.3: what the kernel did not take stays pending, and who owes is not
// read from.
//
// The same three clients as in step 02.2. Now every byte comes back, out of one
// fixed buffer each.
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "chapters/02-polling/steps/scripted_client.hpp"

namespace {

/// What the server remembers of a client between two turns.
struct Conversation {
    std::array<char, 16 * 1024> buffer{};
    // Buffer[sent, end) is still to be written
    std::size_t sent = 0;
    std::size_t end = 0;

    /// One read or one write. Returns false at the end of input or when the
    /// client is gone.
    bool echo(int client) {
        // Nothing is owed: read
        if (sent == end) {
            const ssize_t count = read(client, buffer.data(), buffer.size());
            if (count < 0) return errno == EAGAIN;
            if (count == 0) return false;
            sent = 0;
            end = static_cast<std::size_t>(count);
        }
        const ssize_t count = write(client, buffer.data() + sent, end - sent);
        if (count < 0)
            // No room: the bytes stay, the next turn tries again
            return errno == EAGAIN;
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
            // Late, but they do read
            if (turn >= 500) client.receive_some();
        }
    }
    for (const steps::ScriptedClient& client : clients) client.report();
}

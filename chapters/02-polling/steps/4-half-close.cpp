// Step 02.4: the chapter's Client handles half-close, and is fair.
//
// Ann sends her line and at once ends her input (half-close): she still gets
// her answer. Carl sends four megabytes. Each client gets one buffer per turn,
// so Ann does not wait for Carl.
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "chapters/02-polling/client.hpp"
#include "chapters/02-polling/steps/scripted_client.hpp"

int main() {
    std::vector<steps::ScriptedClient> people;
    people.emplace_back("carl", std::string(4'000'000, 'x'));
    people.emplace_back("ann", "hello\n");
    std::vector<polling::Client> clients;
    for (steps::ScriptedClient& person : people)
        clients.emplace_back(person.take_server_side());

    int turn = 0;
    while (!clients.empty()) {
        ++turn;
        for (polling::Client& client : clients) client.serve();
        std::erase_if(clients, [](const polling::Client& client) {
            return client.state() == polling::Client::State::finished;
        });
        for (steps::ScriptedClient& person : people) {
            person.send_more();
            if (person.has_sent_all()) person.half_close();
            const bool was_complete = person.is_complete();
            person.receive_some();
            if (person.is_complete() && !was_complete) {
                std::printf("turn %4d: ", turn);
                person.report();
            }
        }
    }
}

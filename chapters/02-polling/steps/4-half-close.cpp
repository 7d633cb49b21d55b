// Step 02.4: the chapter's Client. "I have said everything" is not "I am gone",
// and nobody is greedy.
//
// Ann sends her line and says at once that no more will come (half-close): she
// still gets her answer. Carl sends without end. Both are served one buffer a
// turn, so ann does not wait for carl.
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
            const bool had_everything = person.has_everything();
            person.receive_some();
            if (person.has_everything() && !had_everything) {
                std::printf("turn %4d: ", turn);
                person.report();
            }
        }
    }
}

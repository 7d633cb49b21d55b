// Objects that report when they are destroyed.
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace testing {

/// Is owned by a callback, and reports when it is destroyed.
class Witness {
public:
    /// `gone` is not owned: it becomes true when this is destroyed.
    explicit Witness(bool& gone) : gone_(gone) {}
    ~Witness() { gone_ = true; }

    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;

    /// The flag lives outside, so a callback that is destroyed while it runs may still read it.
    [[nodiscard]] const bool& gone() const { return gone_; }

private:
    bool& gone_;
};

/// Calls a function when it is destroyed, as the destructor of an object does that cancels its
/// timers and removes its readers. Shared, since a std::function copies what it owns.
inline std::shared_ptr<void> at_the_end(std::function<void()> act) {
    struct AtTheEnd {
        std::function<void()> act;
        explicit AtTheEnd(std::function<void()> what) : act(std::move(what)) {}
        AtTheEnd(const AtTheEnd&) = delete;
        AtTheEnd& operator=(const AtTheEnd&) = delete;
        ~AtTheEnd() { act(); }
    };
    return std::make_shared<AtTheEnd>(std::move(act));
}

}  // namespace testing

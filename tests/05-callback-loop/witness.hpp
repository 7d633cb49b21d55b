// Who sees when something is destroyed.
#pragma once

namespace testing {

/// To be owned by a callback: says when it goes.
class Witness {
public:
    /// `gone` is not owned: it becomes true when this is destroyed.
    explicit Witness(bool& gone) : gone_(gone) {}
    ~Witness() { gone_ = true; }

    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;

    /// Lives outside: a callback that is being destroyed while it runs may still look at it.
    [[nodiscard]] const bool& gone() const { return gone_; }

private:
    bool& gone_;
};

}  // namespace testing

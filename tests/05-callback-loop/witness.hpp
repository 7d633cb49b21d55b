// An object that reports when it is destroyed.
#pragma once

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

}  // namespace testing

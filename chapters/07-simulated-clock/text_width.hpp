// How many columns a text takes on a terminal.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace simulated {

/// Returns the length in bytes of the character at the beginning of `text`,
/// which must not be empty. Text that is not UTF-8 is taken as it comes: a
/// character is a byte and up to three continuation bytes that follow it.
inline std::size_t character_size(std::string_view text) {
    text = text.substr(0, 4);
    std::size_t size = 1;
    while (size < text.size() && (text[size] & 0xC0) == 0x80) ++size;
    return size;
}

/// Returns how many columns one character takes: 2 if it is wide (Chinese,
/// Japanese, Korean, most emoji), 0 if it is drawn over the one before it (an
/// accent), otherwise 1.
inline std::size_t character_width(std::string_view character) {
    struct Range {
        char32_t first;
        char32_t last;
    };
    // The blocks of Unicode, not every single character.
    constexpr std::array<Range, 5> combining{{{0x300, 0x36F},
                                              {0x1AB0, 0x1AFF},
                                              {0x200B, 0x200F},
                                              {0x20D0, 0x20FF},
                                              {0xFE00, 0xFE0F}}};
    constexpr std::array<Range, 9> wide{{{0x1100, 0x115F},
                                         {0x2E80, 0x303E},
                                         {0x3041, 0xA4CF},
                                         {0xAC00, 0xD7A3},
                                         {0xF900, 0xFAFF},
                                         {0xFF00, 0xFF60},
                                         {0x1F300, 0x1F6FF},
                                         {0x1F900, 0x1F9FF},
                                         {0x20000, 0x3FFFD}}};

    // The first byte of n bytes holds 7 - n bits, each other one 6.
    const auto lead = static_cast<unsigned char>(character[0]);
    char32_t code =
        character.size() == 1 ? lead : lead & (0x7FU >> character.size());
    for (const char c : character.substr(1)) code = code << 6U | (c & 0x3FU);

    const auto is_in = [code](const Range& range) {
        return range.first <= code && code <= range.last;
    };
    if (std::ranges::any_of(combining, is_in)) return 0;
    return std::ranges::any_of(wide, is_in) ? 2 : 1;
}

/// Returns as many characters from the beginning of `text` as fit into
/// `columns` columns.
inline std::string_view cut_to(std::string_view text, std::size_t columns) {
    std::size_t end = 0;
    while (end < text.size()) {
        const std::size_t size = character_size(text.substr(end));
        const std::size_t width = character_width(text.substr(end, size));
        if (width > columns) break;
        columns -= width;
        end += size;
    }
    return text.substr(0, end);
}

/// Returns how many columns `text` takes.
inline std::size_t width(std::string_view text) {
    std::size_t columns = 0;
    while (!text.empty()) {
        const std::size_t size = character_size(text);
        columns += character_width(text.substr(0, size));
        text.remove_prefix(size);
    }
    return columns;
}

}  // namespace simulated

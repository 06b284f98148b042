// Checks of arguments: invalid values raise an exception before any memory is accessed.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace vecparity {

// Above any size that can be trained; the product of two such sizes fits into 64 bits.
constexpr std::int64_t kMostOfASize = INT32_MAX;

inline void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

inline void require_within(const char* name, std::int64_t value, std::int64_t least, std::int64_t most) {
    if (value < least || value > most)
        throw std::invalid_argument(
            std::string(name) + ": expected " + std::to_string(least) + " to " + std::to_string(most) + ", got " +
            std::to_string(value));
}

}  // namespace vecparity

#include "generator.h"

namespace vecparity {

Generator::Generator(std::uint64_t seed) {
    state_[0] = static_cast<std::uint32_t>(seed);
    for (std::uint32_t i = 1; i < kStateSize; ++i)
        state_[i] = 1812433253u * (state_[i - 1] ^ state_[i - 1] >> 30) + i;
}

void Generator::refill() {
    constexpr int shift = 397;
    std::uint32_t* s = state_;
    auto twist = [](std::uint32_t high, std::uint32_t low) {
        std::uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);
        return mixed >> 1 ^ ((0u - (low & 1)) & 0x9908b0dfu);
    };
    // In several loops, each without dependences between its elements, so that they vectorise.
    for (int i = 0; i < kStateSize - shift; ++i) s[i] = s[i + shift] ^ twist(s[i], s[i + 1]);
    for (int i = kStateSize - shift; i < 2 * (kStateSize - shift); ++i)
        s[i] = s[i + shift - kStateSize] ^ twist(s[i], s[i + 1]);
    for (int i = 2 * (kStateSize - shift); i < kStateSize - 1; ++i)
        s[i] = s[i + shift - kStateSize] ^ twist(s[i], s[i + 1]);
    s[kStateSize - 1] = s[shift - 1] ^ twist(s[kStateSize - 1], s[0]);
    for (int i = 0; i < kStateSize; ++i) {
        std::uint32_t x = s[i];
        x ^= x >> 11;
        x ^= x << 7 & 0x9d2c5680u;
        x ^= x << 15 & 0xefc60000u;
        draws_[i] = x ^ x >> 18;
    }
    next_ = 0;
}

void Generator::skip(std::int64_t count) {
    while (count > 0) {
        int left;
        draws(&left);
        if (left > count) left = static_cast<int>(count);
        consume(left);
        count -= left;
    }
}

// Fisher-Yates shuffle: swaps position i with a position from i on, selected by a remainder.
void randperm(Generator& generator, std::int64_t size, std::int32_t* permutation) {
    constexpr std::int64_t in_cache = 8192;
    for (std::int64_t i = 0; i < size; ++i) permutation[i] = static_cast<std::int32_t>(i);
    std::int32_t chosen[Generator::kStateSize];
    for (std::int64_t done = 0; done < size - 1;) {
        int count;
        const std::uint32_t* draws = generator.draws(&count);
        if (count > size - 1 - done) count = static_cast<int>(size - 1 - done);
        const std::int32_t left = static_cast<std::int32_t>(size - done);
        for (int i = 0; i < count; ++i) {
            // Division of doubles is exact enough for 32-bit integers: a quotient is either whole or at least 2^-32 of
            // itself away from the next integer. Unlike an integer remainder it vectorises, as do conversions from and
            // to signed integers: with two or more choices, a quotient is below 2^31.
            double draw = static_cast<double>(static_cast<std::int32_t>(draws[i] ^ 0x80000000u)) + 0x80000000u;
            double choices = static_cast<double>(left - i);
            double quotient = static_cast<double>(static_cast<std::int32_t>(draw / choices));
            chosen[i] = static_cast<std::int32_t>(draw - quotient * choices) + i;
        }
        generator.consume(count);
        std::int32_t* from = permutation + done;
        if (size > in_cache)
            for (int i = 0; i < count; ++i) __builtin_prefetch(from + chosen[i], 1);
        for (int i = 0; i < count; ++i) {
            std::int32_t* to = from + chosen[i];
            std::int32_t kept = from[i];
            from[i] = *to;
            *to = kept;
        }
        done += count;
    }
}

}  // namespace vecparity

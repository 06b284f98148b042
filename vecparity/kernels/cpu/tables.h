// Tables of the 16 partial sums of four vectors of units, and sums of the entries that rows and features look up.
#pragma once

#include "tiles.h"

namespace vecparity {
namespace {

// Writes base + the sum of each subset of four vectors, `stride` floats apart. Without a base, leaves the empty
// subset's entry unchanged, which is always 0.
template <bool has_base>
inline void write_subset_sums(Vector base, Vector a, Vector b, Vector c, Vector d, float* table, std::int64_t stride) {
    const Vector added[4] = {a, b, c, d};
    Vector sums[16];
    sums[0] = base;
    for (int bit = 0; bit < 4; ++bit) {
        sums[1 << bit] = has_base ? base + added[bit] : added[bit];
        for (int subset = 1; subset < 1 << bit; ++subset) sums[(1 << bit) + subset] = sums[subset] + added[bit];
    }
    for (int subset = has_base ? 0 : 1; subset < 16; ++subset) store(table + subset * stride, sums[subset]);
}

// Adds the entries at `count` byte offsets to `sums`.
template <int V>
inline void add_entries(const float* tables, const std::uint16_t* offsets, std::int64_t count, Vector (&sums)[V]) {
    const char* bytes = reinterpret_cast<const char*>(tables);
    auto add = [&](std::uint16_t offset) {
        const float* entry = reinterpret_cast<const float*>(bytes + offset);
        for (int v = 0; v < V; ++v) sums[v] += load(entry + v * kLanes);
    };
    std::int64_t i = 0;
    // Loads limit this loop, so one load fetches four offsets.
    for (; i + 4 <= count; i += 4) {
        std::uint64_t four;
        __builtin_memcpy(&four, offsets + i, sizeof four);
        add(static_cast<std::uint16_t>(four));
        add(static_cast<std::uint16_t>(four >> 16));
        add(static_cast<std::uint16_t>(four >> 32));
        add(static_cast<std::uint16_t>(four >> 48));
    }
    for (; i < count; ++i) add(offsets[i]);
}

}  // namespace
}  // namespace vecparity

// A run's state in the kernel: hidden units in tiles of V vectors, and within a tile one row of units for each used
// feature, then one of b1 and one of w2. Padding units have weights 0 and therefore never learn.
#pragma once

#include "features.h"
#include "kernel.h"
#include "team.h"
#include "vector.h"

namespace vecparity {
namespace {

inline std::int64_t num_params(const Shape& shape) { return shape.hidden_width * (shape.n_features + 2) + 1; }

template <int V>
struct Tiles {
    static constexpr std::int64_t kUnits = V * kLanes;

    std::int64_t count;
    std::int64_t first, end;    // the tiles that this thread owns; the others have no values
    std::int64_t num_features;  // used ones
    float* values;              // [tile, num_features + 2, unit]

    Tiles(Arena& arena, std::int64_t hidden_width, std::int64_t n_features)
        : count(ceil_div(hidden_width, kUnits)), first(0), end(count), num_features(n_features) {
        values = arena.take<float>(count * (n_features + 2) * kUnits);
    }

    float* row(std::int64_t tile, std::int64_t feature) const {
        return values + (tile * (num_features + 2) + feature) * kUnits;
    }
    float* b1(std::int64_t tile) const { return row(tile, num_features); }
    float* w2(std::int64_t tile) const { return row(tile, num_features + 1); }

    // The first tile of a slot (see team.h).
    std::int64_t first_of_slot(std::int64_t slot, const Shape& shape) const {
        static_assert(kBlockUnits % kUnits == 0, "a slot has whole tiles");
        std::int64_t tile = first_unit_of_slot(slot, shape.hidden_width) / kUnits;
        return tile < count ? tile : count;
    }

    void own(const Member& member, const Shape& shape) {
        first = first_of_slot(member.first_slot(), shape);
        end = first_of_slot(member.end_slot(), shape);
    }

    void load_flat(const float* flat, const Shape& shape, const Features& features) {
        num_features = features.count;
        const float* b1_flat = flat + shape.hidden_width * shape.n_features;
        for (std::int64_t tile = first; tile < end; ++tile)
            for (std::int64_t i = 0; i < kUnits; ++i) {
                std::int64_t unit = tile * kUnits + i;
                bool is_padding = unit >= shape.hidden_width;
                const float* w1 = flat + unit * shape.n_features;
                for (std::int64_t feature = 0; feature < num_features; ++feature)
                    row(tile, feature)[i] = is_padding ? 0.0f : w1[features.index[feature]];
                b1(tile)[i] = is_padding ? 0.0f : b1_flat[unit];
                w2(tile)[i] = is_padding ? 0.0f : b1_flat[shape.hidden_width + unit];
            }
    }

    void store_flat(float* flat, const Shape& shape, const Features& features) const {
        float* b1_flat = flat + shape.hidden_width * shape.n_features;
        for (std::int64_t unit = first * kUnits; unit < shape.hidden_width && unit < end * kUnits; ++unit) {
            std::int64_t tile = unit / kUnits, i = unit % kUnits;
            float* w1 = flat + unit * shape.n_features;
            for (std::int64_t feature = 0; feature < num_features; ++feature)
                w1[features.index[feature]] = row(tile, feature)[i];
            b1_flat[unit] = b1(tile)[i];
            b1_flat[shape.hidden_width + unit] = w2(tile)[i];
        }
    }
};

}  // namespace
}  // namespace vecparity

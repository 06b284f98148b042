// The output unit over a whole batch: probabilities, loss, accuracy and gradient of the loss with respect to z
// (contract section 4).
#pragma once

#include "arena.h"
#include "functions.h"

namespace vecparity {
namespace {

struct Head {
    float loss;      // mean over the examples, in nats
    float accuracy;  // share of the examples
};

inline Vector sigmoid(Vector z) { return 1.0f / (1.0f + vector_exp(-z)); }

// Arrays are padded to a multiple of kSumLanes; dz [example] is 0 in the padding, and log_likelihoods is scratch.
inline Head head(const float* z, const float* labels, std::int64_t count, float* dz, float* log_likelihoods) {
    const float inverse_count = 1.0f / static_cast<float>(count);
    Integers lane;
    for (int i = 0; i < kLanes; ++i) lane[i] = i;
    const std::int64_t padded = ceil_div(count, kSumLanes) * kSumLanes;
    Integers correct{};
    for (std::int64_t first = 0; first < padded; first += kLanes) {
        Integers is_example = lane < static_cast<std::int32_t>(count - first);
        Vector y = load(labels + first);
        Vector p = sigmoid(load(z + first)), q = 1.0f - p;
        // On probabilities, as in torch: a saturated p passes no gradient.
        Vector log_likelihood = vector_log(select(y >= 0.5f, p, q));
        log_likelihood = select(log_likelihood < -100.0f, splat(-100.0f), log_likelihood);
        store(log_likelihoods + first, select(is_example, log_likelihood, Vector{}));
        correct -= is_example & ~((p >= 0.5f) ^ (y >= 0.5f));
        Vector slope = p * q;
        // (p - y) / max(slope, 1e-12) * slope, without the roundings of dividing by slope and multiplying again.
        Vector passed = select(slope < 1e-12f, slope * 1e12f, splat(1.0f));
        store(dz + first, select(is_example, (p - y) * passed * inverse_count, Vector{}));
    }
    float lanes[kSumLanes] = {};
    for (std::int64_t first = 0; first < padded; first += kSumLanes)
        for (int i = 0; i < kSumLanes; ++i) lanes[i] += log_likelihoods[first + i];
    std::int64_t num_correct = 0;
    for (int i = 0; i < kLanes; ++i) num_correct += correct[i];
    return {-sum_of_lanes(lanes) / static_cast<float>(count),
            static_cast<float>(num_correct) / static_cast<float>(count)};
}

}  // namespace
}  // namespace vecparity

// AdamW fused with the last step of the backward pass. Source: Loshchilov & Hutter, "Decoupled Weight Decay
// Regularization" (2019), algorithm 2, with the roundings of contract section 4.
#pragma once

#include "tiles.h"

namespace vecparity {
namespace {

struct Step {
    float decay, one_minus_beta1, beta2, one_minus_beta2, step_size, inverse_root_correction2;

    Step(const Coefficients& by, std::int64_t step)
        : decay(by.decay),
          one_minus_beta1(by.one_minus_beta1),
          beta2(by.beta2),
          one_minus_beta2(by.one_minus_beta2),
          step_size(by.step_size[step]),
          inverse_root_correction2(1.0f / by.root_correction2[step]) {}

    // Updates one vector of parameters and its moments.
    void update(float* params, float* exp_avg, float* exp_avg_sq, Vector gradient, Vector& not_finite) const {
        Vector w = load(params), m = load(exp_avg), v = load(exp_avg_sq);
        m = fused(gradient - m, splat(one_minus_beta1), m);
        v = fused(gradient * one_minus_beta2, gradient, v * beta2);
        // The inverse and the fused product are rounded once each, like the quotient and the sum in their place, so the
        // denominator's error is at most as large: two roundings. Neither can overflow, or underflow to 0, where the
        // quotient does not: root_correction2 lies between 1e-8 (beta2 is a double below 1) and 1. An infinite v gives
        // an infinite denominator, and NaN gives NaN, as with a quotient.
        Vector denominator = fused(square_root(v), splat(inverse_root_correction2), splat(1e-8f));
        w = w * decay - m * step_size / denominator;
        not_finite += w * 0.0f;
        store(params, w);
        store(exp_avg, m);
        store(exp_avg_sq, v);
    }
};

// A run's AdamW moments, tiled, and b2 with its moments.
template <int V>
struct Optimizer {
    Tiles<V> exp_avg, exp_avg_sq;
    Vector b2, b2_exp_avg, b2_exp_avg_sq;  // in every lane

    Optimizer(Arena& arena, const Shape& shape)
        : exp_avg(arena, shape.hidden_width, shape.n_features),
          exp_avg_sq(arena, shape.hidden_width, shape.n_features) {}

    // Updates a tile from its G (see network.h).
    void update_tile(const Tiles<V>& params, std::int64_t tile, const float* gradient, const Step& step,
                     Vector& not_finite) const {
        constexpr std::int64_t units = V * kLanes;
        Vector w2[V], w2_gradient[V];
        for (int v = 0; v < V; ++v) {
            w2[v] = load(params.w2(tile) + v * kLanes);
            w2_gradient[v] = Vector{};
        }
        float *w = params.row(tile, 0), *m = exp_avg.row(tile, 0), *s = exp_avg_sq.row(tile, 0);
        for (std::int64_t row = params.num_features; row >= 0; --row)
            for (int v = 0; v < V; ++v) {
                std::int64_t i = row * units + v * kLanes;
                Vector g = load(gradient + i);
                w2_gradient[v] = fused(load(w + i), g, w2_gradient[v]);
                step.update(w + i, m + i, s + i, w2[v] * g, not_finite);
            }
        for (int v = 0; v < V; ++v) {
            std::int64_t i = (params.num_features + 1) * units + v * kLanes;
            step.update(w + i, m + i, s + i, w2_gradient[v], not_finite);
        }
    }

    void update_b2(float gradient, const Step& step, Vector& not_finite) {
        float w[kLanes], m[kLanes], s[kLanes];
        store(w, b2);
        store(m, b2_exp_avg);
        store(s, b2_exp_avg_sq);
        step.update(w, m, s, splat(gradient), not_finite);
        b2 = load(w);
        b2_exp_avg = load(m);
        b2_exp_avg_sq = load(s);
    }
};

// Decays the weights of features that are never on: they have no gradient, so their moments stay 0. All steps of a
// window are done at once, with the roundings of separate steps.
inline void decay_weights(float* weights, std::int64_t count, float decay, std::int64_t num_steps) {
    if (decay == 1.0f) return;
    constexpr std::int64_t chunk = 8 * kLanes;  // enough to hide a multiplication's latency
    for (std::int64_t first = 0; first < count; first += chunk) {
        float buffer[chunk] = {};
        std::int64_t length = count - first < chunk ? count - first : chunk;
        std::memcpy(buffer, weights + first, static_cast<std::size_t>(length) * sizeof(float));
        Vector w[8];
        for (int i = 0; i < 8; ++i) w[i] = load(buffer + i * kLanes);
        for (std::int64_t step = 0; step < num_steps; ++step)
            for (int i = 0; i < 8; ++i) w[i] *= decay;
        for (int i = 0; i < 8; ++i) store(buffer + i * kLanes, w[i]);
        std::memcpy(weights + first, buffer, static_cast<std::size_t>(length) * sizeof(float));
    }
}

}  // namespace
}  // namespace vecparity

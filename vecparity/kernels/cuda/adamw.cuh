// AdamW, and one thread's share of the parameters of a tile of hidden units. Source: Loshchilov & Hutter, "Decoupled
// Weight Decay Regularization" (2019), algorithm 2; contract section 4.
#ifndef VECPARITY_ADAMW
#define VECPARITY_ADAMW

#include "shape.cuh"

namespace vecparity {

struct Coefficients {
    float decay, one_minus_beta1, beta2, one_minus_beta2, step_size, inverse_root_correction2;

    // Only explicit fmaf is fused (a compiler option forbids the rest), so every cluster size rounds alike.
    DEVICE void update(float& param, float& exp_avg, float& exp_avg_sq, float gradient) const {
        exp_avg = fmaf(gradient - exp_avg, one_minus_beta1, exp_avg);
        exp_avg_sq = fmaf(gradient * one_minus_beta2, gradient, exp_avg_sq * beta2);
        const float denominator = fmaf(square_root(exp_avg_sq), inverse_root_correction2, 1e-8f);
        param = fmaf(-(exp_avg * step_size), reciprocal(denominator), param * decay);
    }
};

struct Param {
    float value, exp_avg, exp_avg_sq;
};

// A hidden unit without its weights, equal in the four lanes of its group. `unit_moments` holds the moments.
struct Unit {
    float b1, w2;
    float minus_scaled_b1;  // the initial value of a sum of scaled weights
    float unscaled_w2;      // the factor from such a sum to z
};

// One thread's part of 16 hidden units. Weights are W1[unit of half][8 * column tile + 2 * pair + {0, 1}], in the
// layout of the sums of `multiply_add`: two of half 0, two of half 1.
struct Tile {
    float weights[kFeatureTiles][4];
    // The negated and scaled weights in two fp16 terms, in the layout of the first factor of `multiply_add`. Negated,
    // so that the sign bit of a sum is set where ReLU passes h.
    unsigned high[kFeatureSteps][4], low[kFeatureSteps][4];
    Unit units[2];
};

// Splits each of two numbers into a high and a low fp16 term, 22 bits together.
DEVICE void split(float first, float second, unsigned& high, unsigned& low) {
    high = pack_halves(first, second);
    low = pack_halves(first - half_to_float(static_cast<unsigned short>(high)),
                      second - half_to_float(static_cast<unsigned short>(high >> 16)));
}

// A power of two that scales a number to [2^target, 2^(target + 1)), and its inverse; both are normal for any number.
struct Scale {
    float factor, inverse;

    DEVICE Scale(unsigned bits_of_largest, int target) {
        const int exponent = static_cast<int>(bits_of_largest >> 23);
        int biased = 254 + target - exponent;
        biased = biased > 253 ? 253 : biased;
        factor = float_of(static_cast<unsigned>(biased) << 23);
        inverse = float_of(static_cast<unsigned>(254 - biased) << 23);
    }
};

// Splits a tile's weights again after an update. Each unit has its own scale, which puts its largest weight (or bias)
// just below fp16's largest number and keeps 22 bits of it, independent of the weights of other units.
DEVICE void split_weights(Tile& tile) {
    Scale scales[2] = {{0, 0}, {0, 0}};
    UNROLL
    for (int half = 0; half < 2; ++half) {
        Unit& unit = tile.units[half];
        float largest = fabsf(unit.b1);
        UNROLL
        for (int column = 0; column < kFeatureTiles; ++column)
            UNROLL
            for (int i = 0; i < 2; ++i) largest = fmaxf(largest, fabsf(tile.weights[column][2 * half + i]));
        largest = fmaxf(largest, shuffle_xor(largest, 1));
        largest = fmaxf(largest, shuffle_xor(largest, 2));
        scales[half] = Scale(bits_of(largest), 14);
        unit.minus_scaled_b1 = 0.0f - scales[half].factor * unit.b1;
        unit.unscaled_w2 = unit.w2 * scales[half].inverse;
    }
    UNROLL
    for (int column = 0; column < kFeatureTiles; ++column)
        UNROLL
        for (int half = 0; half < 2; ++half) {
            const float(&weights)[4] = tile.weights[column];
            const float factor = -scales[half].factor;
            const int register_index = 2 * (column % 2) + half;
            split(factor * weights[2 * half], factor * weights[2 * half + 1], tile.high[column / 2][register_index],
                  tile.low[column / 2][register_index]);
        }
}

}  // namespace vecparity
#endif

// The gradients of a warp's units, and their update. Let error be the gradient of the loss with respect to z, and
// G[u, n] = sum over rows of error * x_n where h_u > 0. The gradients are dW1[u, n] = w2[u] * G[u, n],
// db1[u] = w2[u] * G[u, bias] and, since relu(h) = h where h > 0 and h is linear in W1 and b1,
// dw2[u] = sum over n of W1[u, n] * G[u, n] + b1[u] * G[u, bias]. `multiply_add` returns each G to the thread that
// holds the weight.
#ifndef VECPARITY_BACKWARD
#define VECPARITY_BACKWARD

#include "forward.cuh"
#include "head.cuh"

namespace vecparity {

// G of one tile, with the scale of the errors; the bias comes last, in equal columns.
using Gradients = float[kFeatureTiles + 1][4];

constexpr unsigned kTwoOnes = 0x3C003C00u;  // in fp16

DEVICE void multiply_errors(const Shared& shared, const Thread& thread, const Positive (&positive)[kTiles],
                            Gradients (&gradients)[kTiles]) {
    UNROLL
    for (int tile = 0; tile < kTiles; ++tile)
        UNROLL
        for (int column = 0; column <= kFeatureTiles; ++column)
            UNROLL
            for (int e = 0; e < 4; ++e) gradients[tile][column][e] = 0;
    ROLLED
    for (int step = 0; step < kRowSteps; ++step) {
        unsigned high[kTiles][4], low[kTiles][4];  // [unit, row] errors where h > 0
        UNROLL
        for (int k = 0; k < 2; ++k) {
            const int row_tile = 2 * step + k;
            const Uint2 terms = shared.error_terms[row_tile * 4 + thread.pair];
            UNROLL
            for (int tile = 0; tile < kTiles; ++tile)
                UNROLL
                for (int half = 0; half < 2; ++half) {
                    const unsigned mask = mask_of_signs(positive[tile].of_half[half] << row_tile);
                    high[tile][2 * k + half] = terms.x & mask;
                    low[tile][2 * k + half] = terms.y & mask;
                }
        }
        UNROLL
        for (int column = 0; column < kFeatureTiles; column += 2) {
            unsigned x[4];  // [row, feature] of two columns of features
            load_matrices_transposed(x, address_of(shared, step * 16 + thread.lane % 16, column + thread.lane / 16));
            UNROLL
            for (int tile = 0; tile < kTiles; ++tile)
                UNROLL
                for (int i = 0; i < 2; ++i)
                    multiply_add(gradients[tile][column + i], low[tile], x[2 * i], x[2 * i + 1]);
            UNROLL
            for (int tile = 0; tile < kTiles; ++tile)
                UNROLL
                for (int i = 0; i < 2; ++i)
                    multiply_add(gradients[tile][column + i], high[tile], x[2 * i], x[2 * i + 1]);
        }
        UNROLL
        for (int tile = 0; tile < kTiles; ++tile) {
            multiply_add(gradients[tile][kFeatureTiles], low[tile], kTwoOnes, kTwoOnes);
            multiply_add(gradients[tile][kFeatureTiles], high[tile], kTwoOnes, kTwoOnes);
        }
    }
}

// Updates one of the thread's tiles. Multiplying by `unscale` turns G into the mean over rows.
DEVICE void update_tile(Tile& tile, const Gradients& gradients, Shared& shared, const Thread& thread, int index,
                        float unscale, const Coefficients& by) {
    float w2_gradient[2] = {0, 0};
    const float factor[2] = {tile.units[0].w2 * unscale, tile.units[1].w2 * unscale};
    UNROLL
    for (int column = 0; column < kFeatureTiles; ++column) {
        float(&weights)[4] = tile.weights[column];
        Float4(&moments)[2][kThreads] = shared.moments[index * kFeatureTiles + column];
        Float4& kept_exp_avg = moments[0][thread.index];
        Float4& kept_exp_avg_sq = moments[1][thread.index];
        Float4 exp_avg = kept_exp_avg, exp_avg_sq = kept_exp_avg_sq;
        const float(&g)[4] = gradients[column];
        UNROLL
        for (int e = 0; e < 4; ++e) w2_gradient[e / 2] = fmaf(weights[e], g[e], w2_gradient[e / 2]);
        by.update(weights[0], exp_avg.x, exp_avg_sq.x, factor[0] * g[0]);
        by.update(weights[1], exp_avg.y, exp_avg_sq.y, factor[0] * g[1]);
        by.update(weights[2], exp_avg.z, exp_avg_sq.z, factor[1] * g[2]);
        by.update(weights[3], exp_avg.w, exp_avg_sq.w, factor[1] * g[3]);
        kept_exp_avg = exp_avg;
        kept_exp_avg_sq = exp_avg_sq;
    }
    UNROLL
    for (int half = 0; half < 2; ++half) {
        float &b1 = tile.units[half].b1, &w2 = tile.units[half].w2;
        Float4& kept = shared.unit_moments[index][half][thread.index / 4];
        Float4 moments = kept;
        float sum = w2_gradient[half];
        sum += shuffle_xor(sum, 1);
        sum += shuffle_xor(sum, 2);
        const float g = gradients[kFeatureTiles][2 * half];
        sum = fmaf(b1, g, sum);
        by.update(b1, moments.x, moments.y, factor[half] * g);
        by.update(w2, moments.z, moments.w, sum * unscale);
        warp_barrier();  // all four threads of the unit have read what they now write
        kept = moments;
    }
    split_weights(tile);
}

}  // namespace vecparity
#endif

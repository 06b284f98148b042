// The hidden layer: z of every row, summed over a warp's units, and the signs of h. h itself is not stored.
#ifndef VECPARITY_FORWARD
#define VECPARITY_FORWARD

#include "adamw.cuh"

namespace vecparity {

// The rows with h > 0, for each half of a tile: bit 15 - i is row 8 * i + 2 * pair, bit 31 - i is the row after it.
struct Positive {
    unsigned of_half[2];
};

// Sums eight values per lane, one for each group, over the eight lanes of a pair; each group's lane gets its sum.
DEVICE float sum_over_groups(float (&values)[8], int lane) {
    UNROLL
    for (int width = 4; width > 0; width /= 2) {
        const bool is_upper = lane & 4 * width;
        UNROLL
        for (int i = 0; i < width; ++i) {
            const float given = is_upper ? values[i] : values[i + width];
            const float kept = is_upper ? values[i + width] : values[i];
            values[i] = kept + shuffle_xor(given, 4 * width);
        }
    }
    return values[0];
}

// Loads the strip's rows as second factors of two steps over the features, or of the only step.
DEVICE void load_strip(unsigned (&x)[kStripTiles][4], const Shared& shared, int strip, int step, int lane) {
    const int first_row = strip * kStripRows + lane % 8;
    if constexpr (kFeatureSteps > 1) {
        UNROLL
        for (int i = 0; i < kStripTiles; ++i)
            load_matrices(x[i], address_of(shared, first_row + i * 8, step * 2 + lane / 8));
    } else {
        UNROLL
        for (int i = 0; i < kStripTiles; i += 2) {
            unsigned both[4];
            load_matrices(both, address_of(shared, first_row + (i + lane / 16) * 8, lane / 8 % 2));
            UNROLL
            for (int k = 0; k < 4; ++k) x[i + k / 2][k % 2] = both[k];
        }
    }
}

// Computes -scale * h of a strip's rows: sums[tile][rows 8 * i ...][fragment].
DEVICE void multiply_strip(const Tile (&tiles)[kTiles], const Shared& shared, int strip, int lane,
                           float (&sums)[kTiles][kStripTiles][4]) {
    UNROLL
    for (int tile = 0; tile < kTiles; ++tile)
        UNROLL
        for (int i = 0; i < kStripTiles; ++i)
            UNROLL
            for (int e = 0; e < 4; ++e) sums[tile][i][e] = tiles[tile].units[e / 2].minus_scaled_b1;
    UNROLL
    for (int step = 0; step < kFeatureSteps; step += 2) {
        unsigned x[kStripTiles][4];
        load_strip(x, shared, strip, step, lane);
        UNROLL
        for (int k = 0; k < 2 && k < kFeatureSteps; ++k) {
            // Small terms first. The two products of a sum are a strip apart, not one directly after the other.
            UNROLL
            for (int tile = 0; tile < kTiles; ++tile)
                UNROLL
                for (int i = 0; i < kStripTiles; ++i)
                    multiply_add(sums[tile][i], tiles[tile].low[step + k], x[i][2 * k], x[i][2 * k + 1]);
            UNROLL
            for (int tile = 0; tile < kTiles; ++tile)
                UNROLL
                for (int i = 0; i < kStripTiles; ++i)
                    multiply_add(sums[tile][i], tiles[tile].high[step + k], x[i][2 * k], x[i][2 * k + 1]);
        }
    }
}

// Sums z over a tile's units, then over the warp's tiles, and writes it to shared memory.
DEVICE void forward(const Tile (&tiles)[kTiles], Shared& shared, const Thread& thread, Positive (&positive)[kTiles]) {
    unsigned signs[kTiles][4];
    UNROLL
    for (int tile = 0; tile < kTiles; ++tile)
        UNROLL
        for (int e = 0; e < 4; ++e) signs[tile][e] = 0;
    ROLLED
    for (int strip = 0; strip < kStrips; ++strip) {
        float sums[kTiles][kStripTiles][4];
        multiply_strip(tiles, shared, strip, thread.lane, sums);
        float z[kTiles];
        UNROLL
        for (int tile = 0; tile < kTiles; ++tile) {
            const Unit(&units)[2] = tiles[tile].units;
            float terms[8];  // of rows 8 * i + 2 * pair + column
            UNROLL
            for (int i = 0; i < kStripTiles; ++i) {
                const float(&sum)[4] = sums[tile][i];
                UNROLL
                for (int e = 0; e < 4; ++e) signs[tile][e] = shift_in_sign(signs[tile][e], sum[e]);
                UNROLL
                for (int column = 0; column < 2; ++column)
                    terms[2 * i + column] = fmaf(units[1].unscaled_w2, relu(-sum[2 + column]),
                                                 units[0].unscaled_w2 * relu(-sum[column]));
            }
            z[tile] = sum_over_groups(terms, thread.lane);
        }
        const int row = strip * kStripRows + thread.group / 2 * 8 + 2 * thread.pair + thread.group % 2;
        shared.z_of_warp[thread.warp][row] = tree_sum<kTiles>([&](int tile) { return z[tile]; });
    }
    UNROLL
    for (int tile = 0; tile < kTiles; ++tile)
        UNROLL
        for (int half = 0; half < 2; ++half)
            positive[tile].of_half[half] =
                signs[tile][2 * half] << (16 - kRowTiles) | signs[tile][2 * half + 1] << (32 - kRowTiles);
}

}  // namespace vecparity
#endif

// Moves a run's parameters and moments between global memory and the threads that own them.
#ifndef VECPARITY_STATE
#define VECPARITY_STATE

#include "adamw.cuh"
#include "features.cuh"

namespace vecparity {

// Flat: W1 [W, N], b1 [W], w2 [W], b2 [1].
struct State {
    float *params, *exp_avg, *exp_avg_sq;

    DEVICE State of_run(long long run) const {
        const long long first = run * kNumParams;
        return {params + first, exp_avg + first, exp_avg_sq + first};
    }

    DEVICE Param load(int at) const {
        return {load_shared_state(params + at), load_shared_state(exp_avg + at), load_shared_state(exp_avg_sq + at)};
    }

    DEVICE void store(int at, const Param& param) const {
        params[at] = param.value;
        exp_avg[at] = param.exp_avg;
        exp_avg_sq[at] = param.exp_avg_sq;
    }
};

constexpr int kFirstB1 = HIDDEN_WIDTH * N_FEATURES;
constexpr int kFirstW2 = kFirstB1 + HIDDEN_WIDTH;
constexpr int kB2 = kFirstW2 + HIDDEN_WIDTH;

DEVICE bool is_unit(int unit) { return kUnits == HIDDEN_WIDTH || unit < HIDDEN_WIDTH; }

// Returns the index in W1 of the weight of a unit and the feature at a place.
DEVICE int weight_at(int unit, int place, const Features& features) {
    return unit * N_FEATURES + features.at[place];
}

// Padding units and features are 0 and stay 0, since they have no gradient.
DEVICE void load_tile(Tile& tile, Shared& shared, const State& state, const Thread& thread, int index) {
    UNROLL
    for (int column = 0; column < kFeatureTiles; ++column) {
        Param params[4];
        UNROLL
        for (int e = 0; e < 4; ++e) {
            const int unit = thread.unit(index, e / 2), place = column * 8 + 2 * thread.pair + e % 2;
            params[e] = {0, 0, 0};
            if (is_unit(unit) && place < shared.features.count)
                params[e] = state.load(weight_at(unit, place, shared.features));
            tile.weights[column][e] = params[e].value;
        }
        Float4(&moments)[2][kThreads] = shared.moments[index * kFeatureTiles + column];
        moments[0][thread.index] = {params[0].exp_avg, params[1].exp_avg, params[2].exp_avg, params[3].exp_avg};
        moments[1][thread.index] = {params[0].exp_avg_sq, params[1].exp_avg_sq, params[2].exp_avg_sq,
                                    params[3].exp_avg_sq};
    }
    UNROLL
    for (int half = 0; half < 2; ++half) {
        const int unit = thread.unit(index, half);
        Param b1 = {0, 0, 0}, w2 = {0, 0, 0};
        if (is_unit(unit)) {
            b1 = state.load(kFirstB1 + unit);
            w2 = state.load(kFirstW2 + unit);
        }
        tile.units[half].b1 = b1.value;
        tile.units[half].w2 = w2.value;
        shared.unit_moments[index][half][thread.index / 4] = {b1.exp_avg, b1.exp_avg_sq, w2.exp_avg, w2.exp_avg_sq};
    }
    split_weights(tile);
}

DEVICE void store_tile(const Tile& tile, const Shared& shared, const State& state, const Thread& thread, int index) {
    UNROLL
    for (int column = 0; column < kFeatureTiles; ++column) {
        const Float4(&moments)[2][kThreads] = shared.moments[index * kFeatureTiles + column];
        const Float4 exp_avg = moments[0][thread.index], exp_avg_sq = moments[1][thread.index];
        const float m[4] = {exp_avg.x, exp_avg.y, exp_avg.z, exp_avg.w};
        const float v[4] = {exp_avg_sq.x, exp_avg_sq.y, exp_avg_sq.z, exp_avg_sq.w};
        UNROLL
        for (int e = 0; e < 4; ++e) {
            const int unit = thread.unit(index, e / 2), place = column * 8 + 2 * thread.pair + e % 2;
            if (is_unit(unit) && place < shared.features.count)
                state.store(weight_at(unit, place, shared.features), {tile.weights[column][e], m[e], v[e]});
        }
    }
    if (thread.pair != 0) return;
    UNROLL
    for (int half = 0; half < 2; ++half) {
        const int unit = thread.unit(index, half);
        if (!is_unit(unit)) continue;
        const Float4 moments = shared.unit_moments[index][half][thread.index / 4];
        state.store(kFirstB1 + unit, {tile.units[half].b1, moments.x, moments.y});
        state.store(kFirstW2 + unit, {tile.units[half].w2, moments.z, moments.w});
    }
}

// Decays the weights of untrained features, whose gradients and moments are 0, for all steps of a piece at once, with
// the roundings of separate steps.
DEVICE void decay_others(const State& state, const Features& features, const Thread& thread, float decay,
                         int num_steps) {
    if (decay == 1.0f) return;
    constexpr int kChains = 8;  // independent chains, as each multiplication waits for the last in its chain
    constexpr int kStride = kBlocks * kThreads;
    const int count = N_FEATURES - features.count, num_weights = HIDDEN_WIDTH * count;
    for (int first = thread.block * kThreads + thread.index; first < num_weights; first += kChains * kStride) {
        int at[kChains];
        float weights[kChains];
        UNROLL
        for (int i = 0; i < kChains; ++i) {
            const int weight = first + i * kStride;
            const bool is_weight = weight < num_weights;
            at[i] = is_weight ? weight_at(weight / count, features.count + weight % count, features) : -1;
            weights[i] = is_weight ? load_shared_state(state.params + at[i]) : 0.0f;
        }
        for (int step = 0; step < num_steps; ++step)
            UNROLL
            for (int i = 0; i < kChains; ++i) weights[i] *= decay;
        UNROLL
        for (int i = 0; i < kChains; ++i)
            if (at[i] >= 0) state.params[at[i]] = weights[i];
    }
}

}  // namespace vecparity
#endif

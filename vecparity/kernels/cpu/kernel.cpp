// Training and testing of one run, compiled once for each instruction set, with VECPARITY_LANES and VECPARITY_LEVEL.
#include "kernel.h"

#include "adamw.h"
#include "head.h"
#include "network.h"
#include "subnormals.h"

namespace vecparity {
namespace {

// Up to this number of features tiles are twice as wide, since their tables still fit the first-level cache.
constexpr std::int64_t kFeaturesOfWideTiles = 32;

// Vectors in a tile: at least enough for a full set of partial sums.
constexpr int kNarrow = kLanes == 4 ? 4 : 2;
constexpr int kWide = 2 * kNarrow;

// Returns a vector with NaN in some lane if any value is not finite.
Vector times_zero(const float* values, std::int64_t count) {
    Vector sum{};
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) sum += load(values + i) * 0.0f;
    for (; i < count; ++i) sum[0] += values[i] * 0.0f;
    return sum;
}

bool any_nan(Vector v) {
    for (int lane = 0; lane < kLanes; ++lane)
        if (v[lane] != v[lane]) return true;
    return false;
}

template <int V>
struct Workspace {
    Features features;
    Batch batch;
    Network<V> network;
    float* z;   // [example]
    float* dz;  // [example]
    float* log_likelihoods;  // [example]
    double* dz_of_row;  // [row]

    Workspace(Arena& arena, const Shape& shape)
        : features(arena, shape.n_features, shape.num_words),
          batch(arena, shape.batch_size, shape.n_features),
          network(arena, shape, batch.max_rows) {
        z = arena.take<float>(batch.max_rows);
        dz = arena.take<float>(batch.max_rows);
        log_likelihoods = arena.take<float>(batch.max_rows);
        dz_of_row = arena.take<double>(batch.max_rows);
    }

    void load_flat(
        const float* params, const Shape& shape, const std::uint64_t* used, bool all, const Member& member) {
        features.choose(used, shape.n_features, all);
        batch.configure(features, V * kLanes * sizeof(float));
        network.params.own(member, shape);
        network.params.load_flat(params, shape, features);
        network.clear();
    }

    // Computes z of every example of the batch, padded to whole vectors. Returns whether all threads of the team had only
    // finite parameters.
    bool find_z(float b2, Member& member, bool is_finite) {
        member.share(network.forward(batch, member), is_finite);
        for (int other = 0; other < member.team_size(); ++other) is_finite &= member.shared_by(other).is_finite;
        const float* of_slot[kSlots];
        for (int slot = 0; slot < kSlots; ++slot) of_slot[slot] = member.shared_lanes(slot, network.z_size);
        // Of rows past the last, too, which are padding.
        for (std::int64_t row = 0; row < batch.num_rows; row += kRowsSummed) {
            float lanes[kRowsSummed * kSumLanes];
            for (std::int64_t i = 0; i < kRowsSummed * kSumLanes; i += kLanes) {
                const std::int64_t at = row * kSumLanes + i;
                Vector sum = load(of_slot[0] + at);
                for (int slot = 1; slot < kSlots; ++slot) sum += load(of_slot[slot] + at);
                store(lanes + i, sum);
            }
            sums_of_lanes(lanes, network.dz + row);
        }
        for (std::int64_t row = 0; row < batch.num_rows; ++row) network.dz[row] += b2;
        for (std::int64_t example = 0; example < batch.num_examples; ++example)
            z[example] = network.dz[batch.shares_rows ? batch.row_of[example] : example];
        for (std::int64_t example = batch.num_examples; example < batch.max_rows; ++example) z[example] = 0;
        return is_finite;
    }

    // Sums dz over the examples that share a row, and over all examples, in double precision because terms cancel.
    float share_dz() {
        constexpr int lanes = 8;  // enough to hide an addition's latency
        double sums[lanes] = {};
        for (std::int64_t example = 0; example < batch.num_examples; ++example)
            sums[example % lanes] += static_cast<double>(dz[example]);
        for (std::int64_t row = batch.num_rows; row < batch.max_rows; ++row) network.dz[row] = 0;
        if (batch.shares_rows) {
            for (std::int64_t row = 0; row < batch.num_rows; ++row) dz_of_row[row] = 0;
            for (std::int64_t example = 0; example < batch.num_examples; ++example)
                dz_of_row[batch.row_of[example]] += static_cast<double>(dz[example]);
            for (std::int64_t row = 0; row < batch.num_rows; ++row)
                network.dz[row] = static_cast<float>(dz_of_row[row]);
        } else {
            for (std::int64_t row = 0; row < batch.num_rows; ++row) network.dz[row] = dz[row];
        }
        double sum = 0;
        for (int lane = 0; lane < lanes; ++lane) sum += sums[lane];
        return static_cast<float>(sum);
    }
};

template <int V>
struct Trainer {
    Workspace<V> work;
    Optimizer<V> optimizer;

    Trainer(Arena& arena, const Shape& shape) : work(arena, shape), optimizer(arena, shape) {}

    Sums train(const Shape& shape, const State& state, const Rows& rows, const Batches& batches,
               const Coefficients& by, bool all_features, Member& member) {
        load_flat(shape, state, rows, all_features, member);
        work.batch.pack_rows(work.features, rows, batches.num_steps * shape.batch_size);
        Sums sums = {0, 0, 0};
        // NaN once a weight is not finite: in torch, its product with an input of 0 makes the next loss NaN.
        Vector not_finite = times_zero(state.params, num_params(shape));
        for (std::int64_t step = 0; step < batches.num_steps; ++step) {
            std::int64_t count = batches.lengths[step];
            work.batch.read(work.features, rows, batches.indices + step * shape.batch_size, count);
            bool is_finite = work.find_z(optimizer.b2[0], member, !any_nan(not_finite));
            Head batch_head = head(work.z, work.batch.labels, count, work.dz, work.log_likelihoods);
            if (!__builtin_isfinite(batch_head.loss) || !is_finite) break;
            update(Step(by, step), not_finite);
            sums.loss += batch_head.loss;
            sums.accuracy += batch_head.accuracy;
            ++sums.num_batches;
        }
        member.meet();  // no thread stores before all have loaded
        store_flat(shape, state, by.decay, sums.num_batches, member.index() == 0);
        return sums;
    }

  private:
    // Not inlined, so that the head, whose probabilities may be subnormal, is computed outside.
    __attribute__((noinline)) void update(const Step& step, Vector& not_finite) {
        const SubnormalsAreZero while_updating;
        Network<V>& network = work.network;
        float b2_gradient = work.share_dz();
        bool is_small = work.batch.num_groups <= kScatterGroups;
        if (!is_small) work.batch.transpose(work.features.count);
        for (std::int64_t tile = network.params.first; tile < network.params.end; ++tile) {
            if (is_small)
                network.scatter_gradient(work.batch, tile);
            else
                network.gather_gradient(work.batch, tile);
            optimizer.update_tile(network.params, tile, network.gradient, step, not_finite);
        }
        optimizer.update_b2(b2_gradient, step, not_finite);
    }

    static constexpr std::int64_t kScatterGroups = 4;

    void load_flat(
        const Shape& shape, const State& state, const Rows& rows, bool all_features, const Member& member) {
        work.load_flat(state.params, shape, rows.used, all_features, member);
        optimizer.exp_avg.own(member, shape);
        optimizer.exp_avg_sq.own(member, shape);
        optimizer.exp_avg.load_flat(state.exp_avg, shape, work.features);
        optimizer.exp_avg_sq.load_flat(state.exp_avg_sq, shape, work.features);
        std::int64_t last = num_params(shape) - 1;
        optimizer.b2 = splat(state.params[last]);
        optimizer.b2_exp_avg = splat(state.exp_avg[last]);
        optimizer.b2_exp_avg_sq = splat(state.exp_avg_sq[last]);
    }

    // Stores the state of this thread's units, and of b2 if it is to do so.
    void store_flat(
        const Shape& shape, const State& state, float decay, std::int64_t num_updates, bool stores_b2) const {
        const SubnormalsAreZero while_decaying;  // as in `update`
        const Tiles<V>& params = work.network.params;
        const std::int64_t first_unit = params.first * params.kUnits, end_unit = params.end * params.kUnits;
        const std::int64_t num_units = (end_unit < shape.hidden_width ? end_unit : shape.hidden_width) - first_unit;
        if (work.features.count < shape.n_features && num_units > 0)
            decay_weights(
                state.params + first_unit * shape.n_features, num_units * shape.n_features, decay, num_updates);
        params.store_flat(state.params, shape, work.features);
        optimizer.exp_avg.store_flat(state.exp_avg, shape, work.features);
        optimizer.exp_avg_sq.store_flat(state.exp_avg_sq, shape, work.features);
        if (!stores_b2) return;
        std::int64_t last = num_params(shape) - 1;
        state.params[last] = optimizer.b2[0];
        state.exp_avg[last] = optimizer.b2_exp_avg[0];
        state.exp_avg_sq[last] = optimizer.b2_exp_avg_sq[0];
    }
};

// Tells whether decay_weights may handle the weights of unused features: decay must not let them grow without bounds,
// and their moments must be 0.
bool can_skip_unused(const Shape& shape, const State& state, const std::uint64_t* used, float decay) {
    if (!(decay >= -1.0f && decay <= 1.0f)) return false;
    for (std::int64_t unit = 0; unit < shape.hidden_width; ++unit)
        for (std::int64_t feature = 0; feature < shape.n_features; ++feature) {
            if (used[feature / kWordBits] >> (feature % kWordBits) & 1) continue;
            std::int64_t i = unit * shape.n_features + feature;
            std::uint32_t moments[2];
            std::memcpy(moments, state.exp_avg + i, sizeof(float));
            std::memcpy(moments + 1, state.exp_avg_sq + i, sizeof(float));
            if (moments[0] | moments[1]) return false;
        }
    return true;
}

std::int64_t count_features(const std::uint64_t* used, const Shape& shape, bool all) {
    if (all) return shape.n_features;
    std::int64_t count = 0;
    for (std::int64_t word = 0; word < shape.num_words; ++word) count += __builtin_popcountll(used[word]);
    return count;
}

template <int V>
Sums train_with(const Shape& shape, const State& state, const Rows& rows, const Batches& batches,
                const Coefficients& by, void* scratch, bool all_features, Member& member) {
    Arena arena(scratch);
    Trainer<V> trainer(arena, shape);
    return trainer.train(shape, state, rows, batches, by, all_features, member);
}

Sums train(const Shape& shape, const State& state, const Rows& rows, const Batches& batches, const Coefficients& by,
           void* scratch, Team& team, int index) {
    Member member(team, index);
    bool all = !can_skip_unused(shape, state, rows.used, by.decay);
    bool is_wide = count_features(rows.used, shape, all) <= kFeaturesOfWideTiles;
    return is_wide ? train_with<kWide>(shape, state, rows, batches, by, scratch, all, member)
                   : train_with<kNarrow>(shape, state, rows, batches, by, scratch, all, member);
}

std::int64_t count_correct(
    const Shape& shape, const float* params, const Rows& rows, void* scratch) {
    Arena arena(scratch);
    Workspace<kNarrow> work(arena, shape);
    Team alone = {1, 0, {}};
    Member member(alone, 0);
    work.load_flat(params, shape, nullptr, true, member);
    std::int64_t correct = 0;
    for (std::int64_t first = 0; first < rows.count; first += shape.batch_size) {
        std::int64_t rest = rows.count - first;
        std::int64_t count = rest < shape.batch_size ? rest : shape.batch_size;
        Rows part = {rows.bits + first * shape.num_words, rows.labels + first, nullptr, count};
        work.batch.read(work.features, part, nullptr, count);
        work.find_z(params[num_params(shape) - 1], member, true);
        for (std::int64_t example = 0; example < count; example += kLanes) {
            float p[kLanes];
            store(p, sigmoid(load(work.z + example)));
            for (std::int64_t i = 0; i < kLanes && example + i < count; ++i)
                correct += (p[i] >= 0.5f) == (work.batch.labels[example + i] >= 0.5f);
        }
    }
    return correct;
}

std::size_t scratch_bytes(const Shape& shape) {
    Arena narrow(nullptr), wide(nullptr);
    Trainer<kNarrow> narrow_trainer(narrow, shape);
    Trainer<kWide> wide_trainer(wide, shape);
    return narrow.used() > wide.used() ? narrow.used() : wide.used();
}

void map_fused(const float* a, const float* b, const float* c, float* y, std::int64_t count) {
    for (std::int64_t first = 0; first < count; first += kLanes) {
        float in[3][kLanes] = {}, out[kLanes];
        const float* from[3] = {a + first, b + first, c + first};
        std::int64_t length = count - first < kLanes ? count - first : kLanes;
        for (int i = 0; i < 3; ++i) std::memcpy(in[i], from[i], static_cast<std::size_t>(length) * sizeof(float));
        store(out, fused(load(in[0]), load(in[1]), load(in[2])));
        std::memcpy(y + first, out, static_cast<std::size_t>(length) * sizeof(float));
    }
}

template <Vector (*function)(Vector)>
void map(const float* x, float* y, std::int64_t count) {
    for (std::int64_t first = 0; first < count; first += kLanes) {
        float buffer[kLanes] = {};
        std::int64_t length = count - first < kLanes ? count - first : kLanes;
        std::memcpy(buffer, x + first, static_cast<std::size_t>(length) * sizeof(float));
        store(buffer, function(load(buffer)));
        std::memcpy(y + first, buffer, static_cast<std::size_t>(length) * sizeof(float));
    }
}

std::int64_t multiply_add(std::int64_t rounds) {
    constexpr int chains = 12;  // independent chains, enough to hide the latency
    Vector sums[chains];
    for (int chain = 0; chain < chains; ++chain) sums[chain] = splat(static_cast<float>(chain));
    const Vector factor = splat(0.5f), summand = splat(1.0f);
    for (std::int64_t round = 0; round < rounds; ++round)
        for (int chain = 0; chain < chains; ++chain) sums[chain] = fused(sums[chain], factor, summand);
    Vector total{};
    for (int chain = 0; chain < chains; ++chain) total += sums[chain];
    volatile float kept = total[0];  // prevents optimising the sums away
    (void)kept;
    return rounds * chains * kLanes;
}

#define VECPARITY_TEXT_(x) #x
#define VECPARITY_TEXT(x) VECPARITY_TEXT_(x)
#define VECPARITY_JOIN_(a, b) a##b
#define VECPARITY_JOIN(a, b) VECPARITY_JOIN_(a, b)

}  // namespace

extern const Kernel VECPARITY_JOIN(kernel_, VECPARITY_LEVEL) = {
    VECPARITY_TEXT(VECPARITY_LEVEL), scratch_bytes, train, count_correct, map<vector_exp>, map<vector_log>, map_fused, multiply_add,
};

}  // namespace vecparity

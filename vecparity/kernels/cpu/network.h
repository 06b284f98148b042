// The network's passes over a batch, one tile of hidden units at a time.
//
// Forward: h = b1 + sum of the W1 columns at a row's set bits; only z's partial sums and the signs of h are stored.
// Backward: dz is the gradient of the loss with respect to z, and G[u, n] = sum over rows of dz * x_n where h_u > 0.
// The gradients are dW1[u, n] = w2[u] * G[u, n], db1[u] = w2[u] * G[u, bias], and, since relu(h) = h where h > 0 and
// h is linear in W1 and b1, dw2[u] = sum over n of W1[u, n] * G[u, n] + b1[u] * G[u, bias]. The hidden layer is never
// stored.
#pragma once

#include "batch.h"
#include "tables.h"

namespace vecparity {
namespace {

template <int V>
struct Network {
    static constexpr std::int64_t kUnits = V * kLanes;
    static constexpr int kSumVectors = kSumLanes / kLanes;
    static_assert(V % kSumVectors == 0, "a tile begins with the first partial sum");
    static constexpr std::int64_t kTable = kPatterns * kUnits;

    Tiles<V> params;
    float* zeros;           // [unit]
    float* tables;          // [kGroupsInBlock, kPatterns, unit]
    float* delta_tables;    // [kRowGroupsInBlock, kPatterns, unit]
    float* hidden;          // [row, unit], used if a row's groups need several blocks
    Positive* positive;     // [tile, row, V]
    float* z_lanes[2];      // [slot, row, kSumLanes], in turn
    std::int64_t z_size;    // of a slot
    std::int64_t slot_ends[kSlots];  // the tile behind each slot's last
    float* dz;              // [row], 0 in padding
    float* gradient;        // [feature + 1, unit]: G of one tile, with the bias last

    Network(Arena& arena, const Shape& shape, std::int64_t max_rows)
        : params(arena, shape.hidden_width, shape.n_features) {
        zeros = arena.take<float>(kUnits);
        tables = arena.take<float>(kGroupsInBlock * kTable);
        delta_tables = arena.take<float>(kRowGroupsInBlock * kTable);
        hidden = arena.take<float>(max_rows * kUnits);
        positive = arena.take<Positive>(params.count * max_rows * V);
        z_size = max_rows * kSumLanes;
        for (float*& lanes : z_lanes) lanes = arena.take<float>(kSlots * z_size);
        for (int slot = 0; slot < kSlots; ++slot) slot_ends[slot] = params.first_of_slot(slot + 1, shape);
        dz = arena.take<float>(max_rows);
        gradient = arena.take<float>((shape.n_features + 1) * kUnits);
    }

    void clear() {
        for (std::int64_t i = 0; i < kUnits; ++i) zeros[i] = 0;
        for (std::int64_t i = 0; i < kGroupsInBlock * kTable; ++i) tables[i] = 0;
        for (std::int64_t i = 0; i < kRowGroupsInBlock * kTable; ++i) delta_tables[i] = 0;
    }

    // Computes the lanes of z, summed over each of this thread's slots, and returns them: [slot, row, kSumLanes].
    const float* forward(const Batch& batch, const Member& member) {
        float* const lanes = z_lanes[member.next_buffer()];
        const std::int64_t size = batch.num_rows * kSumLanes;
        const int first_slot = member.first_slot(), num_slots = member.end_slot() - first_slot;
        std::int64_t tile = params.first;
        for (int slot = 0; slot < num_slots; ++slot) {
            float* of_slot = lanes + slot * z_size;
            const std::int64_t first = tile, end = slot_ends[first_slot + slot];
            if (first == end)  // the network is too narrow
                for (std::int64_t i = 0; i < size; i += kLanes) store(of_slot + i, Vector{});
            for (; tile < end; ++tile)
                for (std::int64_t block = 0; block < batch.num_blocks; ++block)
                    forward_block(batch, tile, block, of_slot, tile == first);
        }
        return lanes;
    }

    // For many features: takes rows in groups of four, and gathers G from tables of partial sums of their deltas.
    void gather_gradient(const Batch& batch, std::int64_t tile) {
        const std::int64_t num_groups = ceil_div(batch.num_rows, kGroup);
        const std::int64_t stride = batch.max_rows / kGroup;
        float* bias = gradient + params.num_features * kUnits;
        for (std::int64_t i = 0; i < kUnits; ++i) bias[i] = 0;
        for (std::int64_t first = 0; first < num_groups; first += kRowGroupsInBlock) {
            std::int64_t rest = num_groups - first;
            std::int64_t count = rest < kRowGroupsInBlock ? rest : kRowGroupsInBlock;
            for (std::int64_t group = 0; group < count; ++group) {
                float* table = delta_tables + group * kTable;
                write_delta_sums(batch, tile, (first + group) * kGroup, table);
                for (std::int64_t i = 0; i < kUnits; i += kLanes)
                    store(bias + i, load(bias + i) + load(table + (kPatterns - 1) * kUnits + i));
            }
            for (std::int64_t feature = 0; feature < params.num_features; ++feature) {
                Vector sums[V];
                float* to = gradient + feature * kUnits;
                for (int v = 0; v < V; ++v) sums[v] = first ? load(to + v * kLanes) : Vector{};
                add_entries<V>(delta_tables, batch.row_offsets + feature * stride + first, count, sums);
                for (int v = 0; v < V; ++v) store(to + v * kLanes, sums[v]);
            }
        }
    }

    // For few features: scatters each row's deltas to the entries that the row looked up in the forward pass.
    void scatter_gradient(const Batch& batch, std::int64_t tile) {
        const std::int64_t num_groups = batch.num_groups;
        for (std::int64_t i = 0; i < num_groups * kTable; i += kLanes) store(delta_tables + i, Vector{});
        if (batch.shares_rows && num_groups == 2)
            scatter_pairs(batch, tile);
        else
            scatter_rows(batch, tile);
        for (std::int64_t group = 0; group < batch.num_groups; ++group)
            for (std::int64_t i = 0; i < kUnits; i += kLanes) sum_entries_by_bit(group, i);
    }

  private:
    void forward_block(
        const Batch& batch, std::int64_t tile, std::int64_t block, float* z_of_slot, bool is_first_tile) {
        const std::int64_t first_group = block * kGroupsInBlock;
        const std::int64_t rest = batch.num_groups - first_group;
        const std::int64_t count = rest < kGroupsInBlock ? rest : kGroupsInBlock;
        for (std::int64_t group = 0; group < count; ++group) {
            const float* w[kGroup];
            for (int bit = 0; bit < kGroup; ++bit) {
                std::int64_t feature = (first_group + group) * kGroup + bit;
                w[bit] = feature < params.num_features ? params.row(tile, feature) : zeros;
            }
            for (std::int64_t i = 0; i < kUnits; i += kLanes) {
                float* to = tables + group * kTable + i;
                Vector w0 = load(w[0] + i), w1 = load(w[1] + i), w2 = load(w[2] + i), w3 = load(w[3] + i);
                if (first_group + group == 0)
                    write_subset_sums<true>(load(params.b1(tile) + i), w0, w1, w2, w3, to, kUnits);
                else
                    write_subset_sums<false>(Vector{}, w0, w1, w2, w3, to, kUnits);
                // The first block had its base in this entry.
                if (group == 0 && first_group > 0) store(to, Vector{});
            }
        }
        const std::uint16_t* offsets = batch.offsets + block * batch.max_rows * kGroupsInBlock;
        const bool is_first = block == 0, is_last = block == batch.num_blocks - 1;
        if (batch.num_groups == 2) {
            finish_rows(batch, tile, z_of_slot, is_first_tile, [=](std::int64_t row, Vector (&h)[V]) {
                const float *first = entry_of(tables, offsets[row * kGroupsInBlock]),
                            *second = entry_of(tables, offsets[row * kGroupsInBlock + 1]);
                for (int v = 0; v < V; ++v) h[v] = load(first + v * kLanes) + load(second + v * kLanes);
            });
            return;
        }
        const auto add_block = [=](std::int64_t row, Vector (&h)[V]) {
            for (int v = 0; v < V; ++v) h[v] = is_first ? Vector{} : load(hidden + row * kUnits + v * kLanes);
            add_entries<V>(tables, offsets + row * kGroupsInBlock, count, h);
        };
        if (is_last) {
            finish_rows(batch, tile, z_of_slot, is_first_tile, add_block);
            return;
        }
        for (std::int64_t row = 0; row < batch.num_rows; ++row) {
            Vector h[V];
            add_block(row, h);
            for (int v = 0; v < V; ++v) store(hidden + row * kUnits + v * kLanes, h[v]);
        }
    }

    // Goes on from h, which `find_h` finds for each row: stores the signs of h, and adds to the lanes of z.
    template <typename FindH>
    void finish_rows(const Batch& batch, std::int64_t tile, float* lanes, bool is_first_tile, const FindH& find_h) {
        Vector w2[V];
        for (int v = 0; v < V; ++v) w2[v] = load(params.w2(tile) + v * kLanes);
        Positive* signs = positive + tile * batch.max_rows * V;
        const std::int64_t num_rows = batch.num_rows;
        for (std::int64_t row = 0; row < num_rows; ++row, lanes += kSumLanes, signs += V) {
            Vector h[V], z[kSumVectors];
            find_h(row, h);
            for (int i = 0; i < kSumVectors; ++i) z[i] = is_first_tile ? Vector{} : load(lanes + i * kLanes);
            for (int v = 0; v < V; ++v) {
                h[v] = relu(h[v], signs + v);
                z[v % kSumVectors] = fused(w2[v], h[v], z[v % kSumVectors]);
            }
            for (int i = 0; i < kSumVectors; ++i) store(lanes + i * kLanes, z[i]);
        }
    }

    void scatter_rows(const Batch& batch, std::int64_t tile) {
        const Positive* signs = positive + tile * batch.max_rows * V;
        for (std::int64_t row = 0; row < batch.num_rows; ++row) {
            const std::uint16_t* offsets = batch.offsets + row * kGroupsInBlock;
            Vector delta[V];
            for (int v = 0; v < V; ++v) delta[v] = where_positive(signs + row * V + v, splat(dz[row]));
            for (std::int64_t group = 0; group < batch.num_groups; ++group) add_to_entry(offsets[group], delta);
        }
    }

    // Merged rows are ordered by their patterns, so rows with the same second group are consecutive: their deltas are
    // summed before they are stored.
    void scatter_pairs(const Batch& batch, std::int64_t tile) {
        const Positive* signs = positive + tile * batch.max_rows * V;
        const std::uint16_t* offsets = batch.offsets;
        float* const table = delta_tables;
        const std::int64_t num_rows = batch.num_rows;
        Vector run[V];
        for (int v = 0; v < V; ++v) run[v] = Vector{};
        for (std::int64_t row = 0; row < num_rows; ++row, offsets += kGroupsInBlock, signs += V) {
            float* const entry = entry_of(table, offsets[0]);
            const Vector value = splat(dz[row]);
            Positive where[V];  // loaded before any store, which might change it for all that a compiler knows
            std::memcpy(where, signs, sizeof where);
            for (int v = 0; v < V; ++v) {
                store(entry + v * kLanes, add_where_positive(load(entry + v * kLanes), where[v], value));
                run[v] = add_where_positive(run[v], where[v], value);
            }
            if (row + 1 < num_rows && offsets[kGroupsInBlock + 1] == offsets[1]) continue;
            add_to_entry(offsets[1], run);
            for (int v = 0; v < V; ++v) run[v] = Vector{};
        }
    }

    static float* entry_of(float* table, std::uint16_t offset) {
        return reinterpret_cast<float*>(reinterpret_cast<char*>(table) + offset);
    }

    void add_to_entry(std::uint16_t offset, const Vector (&delta)[V]) {
        float* entry = entry_of(delta_tables, offset);
        for (int v = 0; v < V; ++v) store(entry + v * kLanes, load(entry + v * kLanes) + delta[v]);
    }

    void write_delta_sums(const Batch& batch, std::int64_t tile, std::int64_t first_row, float* table) const {
        const Positive* signs = positive + (tile * batch.max_rows + first_row) * V;
        for (int v = 0; v < V; ++v) {
            Vector delta[kGroup];
            for (int row = 0; row < kGroup; ++row)
                delta[row] = where_positive(signs + row * V + v, splat(dz[first_row + row]));
            write_subset_sums<false>(
                Vector{}, delta[0], delta[1], delta[2], delta[3], table + v * kLanes, kUnits);
        }
    }

    // Computes G of the four features of a group: the sum of the entries whose pattern has the feature's bit.
    void sum_entries_by_bit(std::int64_t group, std::int64_t i) {
        const float* table = delta_tables + group * kTable + i;
        // Halve the table bit by bit, the highest first.
        Vector sums[kPatterns];
        for (int pattern = 0; pattern < kPatterns; ++pattern) sums[pattern] = load(table + pattern * kUnits);
        for (int bit = kGroup - 1; bit >= 0; --bit) {
            int half = 1 << bit;
            Vector with_bit = sums[half];
            for (int pattern = 1; pattern < half; ++pattern) with_bit += sums[half + pattern];
            for (int pattern = 0; pattern < half; ++pattern) sums[pattern] += sums[half + pattern];
            std::int64_t feature = group * kGroup + bit;
            if (feature < params.num_features) store(gradient + feature * kUnits + i, with_bit);
        }
        if (group == 0) store(gradient + params.num_features * kUnits + i, sums[0]);
    }
};

}  // namespace
}  // namespace vecparity

// The functions of `device.cuh`, done on a CPU as the hardware documents them.
#pragma once

#define VECPARITY_DEVICE  // the kernel's own file is not read

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "fibers.h"

#define DEVICE inline
#define KERNEL(threads) void
#define UNROLL
#define ROLLED

namespace vecparity {

using emulator::grid;
using emulator::kLanes;
using Words = std::uint64_t[kLanes][5];
using Results = std::uint64_t[kLanes][4];

struct alignas(16) Float4 {
    float x, y, z, w;
};
struct alignas(8) Uint2 {
    unsigned x, y;
};
struct alignas(16) Uint4 {
    unsigned x, y, z, w;
};

// Tensor cores drop the bits of a sum that its largest term has no room for; how many they keep is not documented.
inline bool truncates_sums = false;

inline int thread_index() { return grid->thread(); }
inline int cluster_rank() { return grid->rank(); }
inline void block_barrier() { grid->block_barrier(); }
inline void cluster_barrier() { grid->cluster_barrier(); }

template <typename Shared>
Shared& shared_memory() {
    return *reinterpret_cast<Shared*>(grid->shared());
}

inline unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(static_cast<const unsigned char*>(pointer) - grid->shared());
}

inline void store_to_block(int block, unsigned address, unsigned bits) {
    std::memcpy(grid->shared_of(block) + address, &bits, sizeof bits);
}

// ---- Numbers

inline unsigned bits_of(float x) { return std::bit_cast<unsigned>(x); }
inline float float_of(unsigned bits) { return std::bit_cast<float>(bits); }
inline float square_root(float x) { return std::sqrt(x); }
inline float reciprocal(float x) { return 1.0f / x; }
inline float relu(float x) { return x != x ? x : std::max(x, 0.0f); }

inline unsigned half_bits(float x) { return std::bit_cast<std::uint16_t>(static_cast<_Float16>(x)); }
inline float half_to_float(unsigned short half) { return static_cast<float>(std::bit_cast<_Float16>(half)); }
inline unsigned pack_halves(float first, float second) { return half_bits(first) | half_bits(second) << 16; }

inline unsigned shift_in_sign(unsigned bits, float x) { return bits << 1 | bits_of(x) >> 31; }
inline int count_bits(unsigned long long word) { return std::popcount(word); }
inline unsigned mask_of_signs(unsigned word) {
    return (word & 0x8000u ? 0x0000FFFFu : 0) | (word & 0x80000000u ? 0xFFFF0000u : 0);
}

// ---- A warp together

inline float shuffle_xor(float x, int lanes) {
    return float_of(static_cast<unsigned>(*grid->together(
        [&](std::uint64_t* in) { in[0] = bits_of(x); },
        [&](const Words& in, Results& out) {
            for (int lane = 0; lane < kLanes; ++lane) out[lane][0] = in[lane ^ lanes][0];
        })));
}

inline unsigned warp_maximum(unsigned x) {
    return static_cast<unsigned>(*grid->together(
        [&](std::uint64_t* in) { in[0] = x; },
        [](const Words& in, Results& out) {
            std::uint64_t largest = 0;
            for (int lane = 0; lane < kLanes; ++lane) largest = std::max(largest, in[lane][0]);
            for (int lane = 0; lane < kLanes; ++lane) out[lane][0] = largest;
        }));
}

inline int warp_count(bool is_set) {
    return static_cast<int>(*grid->together(
        [&](std::uint64_t* in) { in[0] = is_set; },
        [](const Words& in, Results& out) {
            std::uint64_t count = 0;
            for (int lane = 0; lane < kLanes; ++lane) count += in[lane][0];
            for (int lane = 0; lane < kLanes; ++lane) out[lane][0] = count;
        }));
}

inline void warp_barrier() { warp_count(false); }

// Lane 4 * i + j gets two elements of each matrix: of row i the columns 2j and 2j + 1, or, transposed, of column i
// the rows 2j and 2j + 1.
template <bool Transposed>
void load_any_matrices(unsigned (&to)[4], unsigned address) {
    const std::uint64_t* words = grid->together(
        [&](std::uint64_t* in) { in[0] = address; },
        [](const Words& in, Results& out) {
            const unsigned char* shared = grid->shared();
            for (int lane = 0; lane < kLanes; ++lane)
                for (int matrix = 0; matrix < 4; ++matrix) {
                    std::uint16_t halves[2];
                    for (int e = 0; e < 2; ++e) {
                        const int along = 2 * (lane % 4) + e, row = Transposed ? along : lane / 4;
                        const int column = Transposed ? lane / 4 : along;
                        std::memcpy(&halves[e], shared + in[matrix * 8 + row][0] + 2 * column, 2);
                    }
                    out[lane][matrix] = halves[0] | static_cast<unsigned>(halves[1]) << 16;
                }
        });
    for (int matrix = 0; matrix < 4; ++matrix) to[matrix] = static_cast<unsigned>(words[matrix]);
}

inline void load_matrices(unsigned (&to)[4], unsigned address) { load_any_matrices<false>(to, address); }
inline void load_matrices_transposed(unsigned (&to)[4], unsigned address) { load_any_matrices<true>(to, address); }

// The sum of 16 exact products and one float32, rounded or truncated once.
inline void multiply_whole(const Words& in, Results& out) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < kLanes; ++lane) {
        const int group = lane / 4;
        unsigned words[6];
        std::memcpy(words, in[lane], sizeof words);
        for (int e = 0; e < 2; ++e) {
            const int k = 2 * (lane % 4) + e, shift = 16 * e;
            const auto half = [&](int word) { return half_to_float(static_cast<std::uint16_t>(words[word] >> shift)); };
            a[group][k] = half(0);
            a[group + 8][k] = half(1);
            a[group][k + 8] = half(2);
            a[group + 8][k + 8] = half(3);
            b[k][group] = half(4);
            b[k + 8][group] = half(5);
        }
    }
    double sums[16][8];
    for (int lane = 0; lane < kLanes; ++lane) {
        float c[4];
        std::memcpy(c, in[lane] + 3, sizeof c);
        for (int e = 0; e < 4; ++e) sums[lane / 4 + 8 * (e / 2)][2 * (lane % 4) + e % 2] = c[e];
    }
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 16; ++k)
            for (int column = 0; column < 8; ++column)
                sums[row][column] += static_cast<double>(a[row][k]) * static_cast<double>(b[k][column]);
    for (int lane = 0; lane < kLanes; ++lane)
        for (int e = 0; e < 4; ++e) {
            const double sum = sums[lane / 4 + 8 * (e / 2)][2 * (lane % 4) + e % 2];
            float rounded = static_cast<float>(sum);
            if (truncates_sums && std::fabs(static_cast<double>(rounded)) > std::fabs(sum))
                rounded = std::nextafter(rounded, 0.0f);
            out[lane][e] = bits_of(rounded);
        }
}

inline void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const std::uint64_t* words = grid->together(
        [&](std::uint64_t* in) {
            std::memcpy(in, a, sizeof a);
            in[2] = b0 | static_cast<std::uint64_t>(b1) << 32;
            std::memcpy(in + 3, sums, sizeof sums);
        },
        multiply_whole);
    for (int e = 0; e < 4; ++e) sums[e] = float_of(static_cast<unsigned>(words[e]));
}

// ---- Memory that clusters share

template <typename T>
T load_shared_state(const T* from) {
    return *from;
}
inline int take_ticket(int* next) { return (*next)++; }
inline int load_acquire(const int* from) { return *from; }
inline void store_release(int* to, int value) { *to = value; }
inline void publish() {}
inline void pause() { grid->yield(); }

}  // namespace vecparity

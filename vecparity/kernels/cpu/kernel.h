// The kernel's interface, with plain values only, so that translation units compiled for different instruction sets
// agree on the layout and share no inline code (the linker would keep one copy, perhaps the wrong one).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vecparity {

// The sizes shared by all runs of a call.
struct Shape {
    std::int64_t n_features;
    std::int64_t num_words;  // 64-bit words in a row
    std::int64_t hidden_width;
    std::int64_t batch_size;
};

// Rows of bits with their labels. `used` marks the features that are on in at least one row, packed like a row.
struct Rows {
    const std::uint64_t* bits;
    const std::uint8_t* labels;
    const std::uint64_t* used;
    std::int64_t count;  // those that can be read; batches refer to no others
};

// A run's parameters and AdamW moments, flat: W1 [W, N], b1 [W], w2 [W], b2 [1].
struct State {
    float* params;
    float* exp_avg;
    float* exp_avg_sq;
};

// AdamW's coefficients (see adamw.py); the last two are per step of the window.
struct Coefficients {
    float decay;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    const float* step_size;
    const float* root_correction2;
};

// A run's batches: rows of its own dataset, [step, batch_size]; only the first `lengths[step]` of each step count.
struct Batches {
    const std::int32_t* indices;
    const std::int32_t* lengths;
    std::int64_t num_steps;
};

// Sums over the batches that made an update: fewer than the window's steps if the loss became infinite or NaN.
struct Sums {
    double loss;
    double accuracy;
    std::int64_t num_batches;
};

// The parts in which z is summed, whatever the number of threads: the most threads that can train one run.
constexpr int kSlots = 4;

// The threads that train one run together (see team.h).
struct Team {
    struct alignas(64) Share {
        const float* z_lanes;
        bool is_finite;
    };
    int size;  // divides kSlots
    alignas(64) std::int64_t num_arrivals;
    Share shares[2][kSlots];
};

// One compilation of the kernel. Scratch is 64-byte aligned, has `scratch_bytes`, and serves one thread at a time. All
// `member`s of a team, from 0, call `train` at the same time, each with its own scratch; all return the same.
struct Kernel {
    const char* name;
    std::size_t (*scratch_bytes)(const Shape&);
    Sums (*train)(
        const Shape&, const State&, const Rows&, const Batches&, const Coefficients&, void* scratch, Team&, int member);
    std::int64_t (*count_correct)(const Shape&, const float* params, const Rows&, void* scratch);
    void (*exp)(const float* x, float* y, std::int64_t count);
    void (*log)(const float* x, float* y, std::int64_t count);
    void (*fused)(const float* a, const float* b, const float* c, float* y, std::int64_t count);  // a * b + c
    // Does only fused multiply-adds on registers, to measure the machine's limit. Returns their number.
    std::int64_t (*multiply_add)(std::int64_t rounds);
};

extern const Kernel kernel_baseline;
#ifdef VECPARITY_X86
extern const Kernel kernel_avx2;
extern const Kernel kernel_avx512;
#endif

}  // namespace vecparity

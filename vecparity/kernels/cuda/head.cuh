// The output unit over a whole batch: probabilities, loss, accuracy and gradient of the loss with respect to z
// (contract section 4). Every block of a cluster computes all of these from the same sums.
#ifndef VECPARITY_HEAD
#define VECPARITY_HEAD

#include "adamw.cuh"

namespace vecparity {

// Computes z without b2 of the thread's row, from the sums of all warps of all blocks.
DEVICE float gather_z(Shared& shared, const Thread& thread, int parity) {
    float z = 0;
    if (thread.has_row()) {
        z = tree_sum<kWarps>([&](int warp) { return shared.z_of_warp[warp][thread.index]; });
        if constexpr (kBlocks > 1)
            UNROLL
            for (int block = 0; block < kBlocks; ++block) {
                const unsigned address = shared_address(&shared.z_of_block[parity][thread.block][thread.index]);
                store_to_block(block, address, bits_of(z));
            }
    }
    if constexpr (kBlocks > 1) {
        cluster_barrier();
        if (thread.has_row())
            z = tree_sum<kBlocks>([&](int block) { return shared.z_of_block[parity][block][thread.index]; });
    }
    return z;
}

// Writes the errors of the batch's rows, and sums over the rows of each warp.
DEVICE void find_errors(Shared& shared, const Thread& thread, float z, int label, int length) {
    if (!thread.has_row()) return;  // the same for all threads of a warp
    const bool is_row = thread.index < length;
    const float p = 1.0f / (1.0f + expf(-z)), q = 1.0f - p;
    // (p - y) / max(p * q, 1e-12) * p * q, without the roundings of dividing by p * q and multiplying again. On
    // probabilities, as in torch: a saturated p passes no gradient.
    const float slope = p * q;
    const float passed = slope < 1e-12f ? slope * 1e12f : 1.0f;
    const float error = is_row ? (p - static_cast<float>(label)) * passed : 0.0f;
    float log_likelihood = is_row ? fmaxf(logf(label ? p : q), -100.0f) : 0.0f;
    UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) log_likelihood += shuffle_xor(log_likelihood, lanes);
    const int correct = warp_count(is_row && (p >= 0.5f) == (label != 0));
    const unsigned largest = warp_maximum(bits_of(fabsf(error)));
    shared.error[thread.index] = error;
    if (thread.lane == 0) {
        shared.strip_log_likelihood[thread.warp] = log_likelihood;
        shared.strip_correct[thread.warp] = correct;
        shared.strip_error[thread.warp] = largest;
    }
}

DEVICE unsigned largest_error(const Shared& shared) {
    unsigned largest = 0;
    UNROLL
    for (int strip = 0; strip < kStrips; ++strip)
        largest = shared.strip_error[strip] > largest ? shared.strip_error[strip] : largest;
    return largest;
}

// Tells whether the batch's loss is finite: an error is NaN if and only if z is NaN.
DEVICE bool is_finite(unsigned bits_of_error) { return bits_of_error < 0x7f800000u; }

// Splits the scaled errors into the fp16 terms that the backward pass multiplies by.
DEVICE void split_errors(Shared& shared, const Thread& thread, float factor) {
    if (thread.index >= kRows / 2) return;
    const int row = 2 * thread.index;
    Uint2 terms;
    split(shared.error[row] * factor, shared.error[row + 1] * factor, terms.x, terms.y);
    shared.error_terms[thread.index] = terms;
}

// Computes b2's gradient, times the number of rows.
DEVICE void sum_errors(Shared& shared, const Thread& thread) {
    if (thread.warp != 0) return;
    float sum = tree_sum<kStrips>([&](int strip) { return shared.error[strip * kStripRows + thread.lane]; });
    UNROLL
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += shuffle_xor(sum, lanes);
    if (thread.lane == 0) shared.error_sum = sum;
}

// Adds the batch's mean loss and accuracy to the window's; called by one thread.
DEVICE void add_metrics(Shared& shared, int length) {
    float log_likelihood = 0;
    int correct = 0;
    UNROLL
    for (int strip = 0; strip < kStrips; ++strip) {
        log_likelihood += shared.strip_log_likelihood[strip];
        correct += shared.strip_correct[strip];
    }
    shared.metrics.loss += static_cast<double>(-log_likelihood / static_cast<float>(length));
    shared.metrics.accuracy += static_cast<double>(static_cast<float>(correct) / static_cast<float>(length));
    ++shared.metrics.num_batches;
}

}  // namespace vecparity
#endif

// The sizes of a compilation, which `plan.py` passes as macros, and the layout of a block's shared memory.
#ifndef VECPARITY_SHAPE
#define VECPARITY_SHAPE

#include "device.cuh"

namespace vecparity {

// A tile is the output of one `mma`: 16 hidden units. README.md shows its division among threads.
constexpr int kTileUnits = 16;
constexpr int kWarpSize = 32;
constexpr int kStripRows = 32;  // rows that a warp takes through the network at a time: one per lane

constexpr int kFeatures = FEATURES;  // the most trained by any run of the launch, padded; may be below N_FEATURES
constexpr int kUnits = UNITS;        // HIDDEN_WIDTH, padded
constexpr int kRows = ROWS;          // BATCH_SIZE, padded
constexpr int kWordBits = 64;
constexpr int kRowWords = (N_FEATURES + kWordBits - 1) / kWordBits;
constexpr int kBlocks = CLUSTER_BLOCKS;  // blocks that train one run together
constexpr int kWarps = WARPS;            // warps of a block
constexpr int kTiles = TILES_PER_WARP;
constexpr int kThreads = kWarps * kWarpSize;

constexpr int kFeatureSteps = kFeatures / 16;  // an `mma` sums over 16 features, or rows
constexpr int kFeatureTiles = kFeatures / 8;   // and produces 8 columns
constexpr int kRowSteps = kRows / 16;
constexpr int kRowTiles = kRows / 8;
constexpr int kStrips = kRows / kStripRows;
constexpr int kStripTiles = kStripRows / 8;

constexpr long long kNumParams = HIDDEN_WIDTH * (N_FEATURES + 2LL) + 1;

static_assert(kFeatures == 16 || kFeatures == 32 || kFeatures == 64 || kFeatures == 128, "rows are swizzled for these");
static_assert(kUnits == kBlocks * kWarps * kTiles * kTileUnits, "every tile has a warp");
static_assert(kRows <= 128 && kThreads % kRows == 0, "a row has a thread of its own at least");
static_assert(kUnits >= HIDDEN_WIDTH && kRows >= BATCH_SIZE, "only ever padded");
static_assert(kRowWords <= 2 && kFeatures <= kRowWords * kWordBits, "a row is packed within its one or two words");

// A run's sums over a window, so far.
struct Metrics {
    double loss, accuracy;
    long long num_batches;
};

constexpr int kMoves = 6;  // by 1, 2, 4 ... 32 bits

// A run's features (features.cuh).
struct Features {
    unsigned long long moved[kRowWords][kMoves];  // the bits of a row's word to move in each step
    unsigned char at[kRowWords * kWordBits];      // the feature at each place, trained features first
    int count, count_of_first_word;               // of trained features
};

struct Shared {
    Float4 moments[kTiles * kFeatureTiles][2][kThreads];  // exp_avg, exp_avg_sq of each thread's weights
    // The moments of each unit's b1 and w2; the four threads that share a unit write the same values.
    Float4 unit_moments[kTiles][2][kThreads / 4];
    unsigned short rows[kRows][kFeatures];                // fp16, in 16-byte chunks swizzled by `chunk_of`
    Metrics metrics;                                      // in a cluster's first block
    Features features;
    Uint2 error_terms[kRows / 2];                         // two rows' errors, scaled: high and low terms
    float z_of_warp[kWarps][kRows];
    float z_of_block[2][kBlocks][kRows];  // by the step's parity, since the next step may write before these are read
    float error[kRows];                   // the gradient of the loss with respect to z, times the number of rows
    float strip_log_likelihood[kStrips];
    int strip_correct[kStrips];
    unsigned strip_error[kStrips];  // the bits of the largest error
    float error_sum;
    int ticket;
};
static_assert(sizeof(Shared) == SHARED_BYTES, "plan.py knows how much shared memory to ask for");

// Returns the position of a chunk of 8 features in a row; chunks of eight rows fall into different banks.
DEVICE int chunk_of(int row, int chunk) {
    return chunk ^ (kFeatures == 16 ? row >> 2 & 1 : kFeatures == 32 ? row >> 1 & 3 : row & 7);
}

DEVICE unsigned address_of(const Shared& shared, int row, int chunk) {
    return shared_address(&shared.rows[row][chunk_of(row, chunk) * 8]);
}

// A thread's position. In fragments, `group` is a row (or a column) and `pair` two adjacent columns.
struct Thread {
    int index, warp, lane, group, pair;
    int block;  // within the cluster

    DEVICE Thread()
        : index(thread_index()),
          warp(index / kWarpSize),
          lane(index % kWarpSize),
          group(lane / 4),
          pair(lane % 4),
          block(kBlocks > 1 ? cluster_rank() : 0) {}

    // Returns the hidden unit in a half (row `group` or `group + 8`) of one of the warp's tiles.
    DEVICE int unit(int tile, int half) const {
        return ((block * kWarps + warp) * kTiles + tile) * kTileUnits + half * 8 + group;
    }

    DEVICE bool has_row() const { return index < kRows; }
};

// Waits for all threads that train the run.
DEVICE void run_barrier() {
    if constexpr (kBlocks > 1)
        cluster_barrier();
    else
        block_barrier();
}

// Adds values in the order of a binary tree, so that the division among warps and blocks does not affect the sum.
template <int Count, typename Value>
DEVICE float tree_sum(Value value) {
    static_assert((Count & (Count - 1)) == 0, "a full tree");
    float sums[Count];
    UNROLL
    for (int i = 0; i < Count; ++i) sums[i] = value(i);
    UNROLL
    for (int width = 1; width < Count; width *= 2)
        UNROLL
        for (int i = 0; i < Count; i += 2 * width) sums[i] += sums[i + width];
    return sums[0];
}

}  // namespace vecparity
#endif

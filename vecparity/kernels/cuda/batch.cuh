// Reads a batch's rows into shared memory as fp16, fetching them from global memory during the previous step.
#ifndef VECPARITY_BATCH
#define VECPARITY_BATCH

#include "features.cuh"

namespace vecparity {

// A run's rows in global memory; one byte of a packed row is a chunk of 8 features.
struct Rows {
    const unsigned long long* bits;
    const unsigned char* labels;
    const int* indices;  // [step, BATCH_SIZE]
    const int* lengths;  // [step]
    int num_steps;       // the number of steps with batches
};

// One thread's share: some chunks of one row and, in the first kRows threads, one row's label.
class BatchReader {
    static constexpr int kThreadsPerRow = kThreads / kRows;
    static constexpr int kRowChunks = kFeatures / 8;
    static constexpr int kChunks = kRowChunks > kThreadsPerRow ? kRowChunks / kThreadsPerRow : 1;

  public:
    DEVICE BatchReader(const Rows& rows, const Thread& thread, int first_step)
        : rows_(rows), row_(thread.index / kThreadsPerRow), first_chunk_(thread.index % kThreadsPerRow * kChunks),
          label_row_(thread.index) {
        fetch_index(first_step);
        fetch_row();
        fetch_index(first_step + 1);
    }

    // Writes the last fetched batch to shared memory.
    DEVICE void expand(Shared& shared, int length) const {
        if (first_chunk_ >= kRowChunks) return;
        Row row;
        UNROLL
        for (int word = 0; word < kRowWords; ++word) row[word] = row_ < length ? bits_[word] : 0;
        pack_row(row, shared.features);
        if constexpr (kChunks <= 8) row[0] = row[kRowWords > 1 && first_chunk_ >= 8] >> (8 * (first_chunk_ % 8));
        UNROLL
        for (int i = 0; i < kChunks; ++i) {
            const unsigned byte = static_cast<unsigned>(row[i / 8] >> (8 * (i % 8))) & 0xff;
            Uint4 halves;
            halves.x = two_halves(byte);
            halves.y = two_halves(byte >> 2);
            halves.z = two_halves(byte >> 4);
            halves.w = two_halves(byte >> 6);
            *reinterpret_cast<Uint4*>(&shared.rows[row_][chunk_of(row_, first_chunk_ + i) * 8]) = halves;
        }
    }

    DEVICE int label() const { return label_; }

    // Fetches the batch of `step`, whose indices have arrived, and requests the next batch's indices.
    DEVICE void fetch(int step) {
        if (step >= rows_.num_steps) return;
        fetch_row();
        fetch_index(step + 1);
    }

  private:
    // Converts two bits to two fp16 numbers, 0 or 1.
    static DEVICE unsigned two_halves(unsigned bits) { return ((bits & 1) | (bits & 2) << 15) * 0x3C00u; }

    DEVICE void fetch_index(int step) {
        if (step >= rows_.num_steps) return;
        const int* batch = rows_.indices + static_cast<long long>(step) * BATCH_SIZE;
        index_ = row_ < BATCH_SIZE ? batch[row_] : 0;
        label_index_ = label_row_ < BATCH_SIZE ? batch[label_row_] : 0;
    }

    DEVICE void fetch_row() {
        const unsigned long long* from = rows_.bits + static_cast<long long>(index_) * kRowWords;
        UNROLL
        for (int word = 0; word < kRowWords; ++word) bits_[word] = from[word];
        label_ = rows_.labels[label_index_];
    }

    const Rows& rows_;
    const int row_, first_chunk_, label_row_;
    int index_ = 0, label_index_ = 0, label_ = 0;
    Row bits_;
};

}  // namespace vecparity
#endif

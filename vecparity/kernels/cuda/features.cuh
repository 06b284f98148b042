// The features that a run trains: those that are on in some row of its dataset, packed in order. Other features change
// no output and get no gradient, so their weights only decay. A feature's *place* is its position in this order.
#ifndef VECPARITY_FEATURES
#define VECPARITY_FEATURES

#include "shape.cuh"

namespace vecparity {

using Row = unsigned long long[kRowWords];

// Returns the mask of the bits of a word that are features.
DEVICE unsigned long long features_of_word(int word) {
    const int count = N_FEATURES - word * kWordBits;
    return count < kWordBits ? (1ULL << count) - 1 : ~0ULL;
}

// Finds the bits to move by 1, 2, 4 ... 32 so that the bits of a mask end up next to each other. Source: Warren,
// "Hacker's Delight" (2nd edition, 2012), section 7-4, compress.
DEVICE void find_moves(unsigned long long mask, unsigned long long (&moved)[kMoves]) {
    unsigned long long gaps = ~mask << 1;  // bits whose right neighbour is not in the mask
    UNROLL
    for (int i = 0; i < kMoves; ++i) {
        unsigned long long is_odd = gaps;  // set if the number of gaps to the right is odd
        UNROLL
        for (int width = 1; width < kWordBits; width *= 2) is_odd ^= is_odd << width;
        moved[i] = is_odd & mask;
        mask = (mask ^ moved[i]) | moved[i] >> (1 << i);
        gaps &= ~is_odd;
    }
}

// Finds a run's features for its block; `used` has one bit per feature.
DEVICE void find_features(const unsigned long long* used, Features& features, const Thread& thread) {
    Row masks;
    int counts[kRowWords], count = 0;
    UNROLL
    for (int word = 0; word < kRowWords; ++word) {
        masks[word] = used[word] & features_of_word(word);
        counts[word] = count_bits(masks[word]);
        count += counts[word];
        if (thread.index == word) find_moves(masks[word], features.moved[word]);
    }
    if (thread.index == 0) {
        features.count = count;
        features.count_of_first_word = counts[0];
    }
    for (int feature = thread.index; feature < N_FEATURES; feature += kThreads) {
        int num_before = 0;
        bool is_used = false;
        UNROLL
        for (int word = 0; word < kRowWords; ++word) {
            const int bit = feature - word * kWordBits;
            if (bit < 0) continue;
            const bool is_here = bit < kWordBits;
            num_before += is_here ? count_bits(masks[word] & ((1ULL << bit) - 1)) : counts[word];
            if (is_here) is_used = masks[word] >> bit & 1;
        }
        features.at[is_used ? num_before : count + feature - num_before] = static_cast<unsigned char>(feature);
    }
}

// Moves the bits of a row to their places.
DEVICE void pack_row(Row& row, const Features& features) {
    UNROLL
    for (int word = 0; word < kRowWords; ++word)
        UNROLL
        for (int i = 0; i < kMoves; ++i) {
            const unsigned long long moved = row[word] & features.moved[word][i];
            row[word] = (row[word] ^ moved) | moved >> (1 << i);
        }
    if constexpr (kRowWords == 2) {
        const int count = features.count_of_first_word;
        const unsigned long long second = row[1];
        if (count < kWordBits) row[0] |= second << count;
        row[1] = count > 0 ? second >> (kWordBits - count) : 0;
    }
}

}  // namespace vecparity
#endif

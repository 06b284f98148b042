// One step's rows, prepared for table lookups (Arlazarov et al. 1970, "the method of four Russians"). Instead of adding
// the weights of a row's set bits one by one, each group of four features has a table of its 16 partial sums, and a row
// adds one entry per group. The index into a table is four bits of a row (forward) or a feature's bits in four rows
// (backward), stored as the byte offset of the entry.
#pragma once

#include "features.h"
#include "kernel.h"

namespace vecparity {
namespace {

constexpr int kGroup = 4;            // bits that share a table
constexpr int kPatterns = 16;        // entries of a table
constexpr int kGroupsInBlock = 16;   // tables in cache at a time, forward: 64 features
constexpr int kRowGroupsInBlock = 8; // likewise backward: 32 rows
constexpr int kFewFeatures = 8;      // up to here, equal rows are found by counting patterns
constexpr std::int64_t kMostPacked = 1 << 15;  // rows of few features that are packed in advance

struct Batch {
    std::int64_t num_examples;
    std::int64_t num_rows;      // distinct rows if few features are used, else num_examples
    std::int64_t max_rows;      // padded
    std::int64_t row_words;
    std::int64_t num_groups;    // of features, at least 1
    std::int64_t num_blocks;
    bool shares_rows;
    bool is_packed;             // whether packed_rows has all rows
    std::uint32_t* row_of;      // [example] if shares_rows
    std::uint16_t* packed_rows; // [row of the dataset] its pattern, and its label in the upper byte
    std::uint64_t* bits;        // [row, word]
    float* labels;              // [example]
    std::uint16_t* offsets;     // [block, row, kGroupsInBlock]
    std::uint16_t* row_offsets; // [feature, row group]
    std::uint32_t* pair;        // [256] both halves of a byte, as offsets
    std::uint32_t table_bytes;

    Batch(Arena& arena, std::int64_t batch_size, std::int64_t n_features) : num_examples(0), num_rows(0) {
        // A multiple of the word size, for the transposition.
        max_rows = ceil_div(batch_size, kWordBits) * kWordBits;
        std::int64_t max_words = ceil_div(n_features, kWordBits);
        row_of = arena.take<std::uint32_t>(max_rows);
        packed_rows = arena.take<std::uint16_t>(kMostPacked);
        bits = arena.take<std::uint64_t>(max_rows * max_words);
        labels = arena.take<float>(max_rows);
        offsets = arena.take<std::uint16_t>(max_words * max_rows * kGroupsInBlock);
        row_offsets = arena.take<std::uint16_t>(max_words * kWordBits * (max_rows / kGroup));
        pair = arena.take<std::uint32_t>(256);
    }

    // Prepares the offsets for the features and for entries of `entry_bytes`.
    void configure(const Features& features, std::uint32_t entry_bytes) {
        row_words = features.num_words;
        num_groups = features.count ? ceil_div(features.count, kGroup) : 1;
        num_blocks = ceil_div(num_groups, kGroupsInBlock);
        shares_rows = features.count <= kFewFeatures;
        is_packed = false;
        table_bytes = entry_bytes * kPatterns;
        for (std::uint32_t byte = 0; byte < 256; ++byte)
            pair[byte] = (byte & 15) * entry_bytes | ((byte >> 4) * entry_bytes + table_bytes) << 16;
    }

    // Packs all rows in advance if they have few features and are read more than once in `num_reads` reads.
    void pack_rows(const Features& features, const Rows& rows, std::int64_t num_reads) {
        if (!shares_rows || rows.count > kMostPacked || rows.count > num_reads) return;
        for (std::int64_t row = 0; row < rows.count; ++row) packed_rows[row] = pack(features, rows, row);
        is_packed = true;
    }

    // Reads the rows at `indices`, or rows 0, 1, ... if `indices` is null.
    void read(const Features& features, const Rows& rows, const std::int32_t* indices, std::int64_t count) {
        num_examples = num_rows = count;
        for (std::int64_t example = count; example < max_rows; ++example) labels[example] = 0;
        if (shares_rows) {
            read_few(features, rows, indices);
            return;
        }
        for (std::int64_t example = 0; example < count; ++example) {
            std::int64_t row = indices ? indices[example] : example;
            features.pack(rows.bits + row * features.num_source_words, bits + example * row_words);
            labels[example] = rows.labels[row];
        }
        for (std::int64_t word = 0; word < row_words; ++word) find_offsets(word);
    }

    // Computes row_offsets, for the gathering backward pass.
    void transpose(std::int64_t num_features) {
        for (std::int64_t i = num_rows * row_words; i < max_rows * row_words; ++i) bits[i] = 0;
        for (std::int64_t first = 0; first < num_rows; first += kWordBits)
            for (std::int64_t word = 0; word < row_words; ++word) {
                std::uint64_t square[kWordBits];
                for (int row = 0; row < kWordBits; ++row) square[row] = bits[(first + row) * row_words + word];
                transpose_square(square);
                std::int64_t end = num_features - word * kWordBits;
                for (std::int64_t bit = 0; bit < (end < kWordBits ? end : kWordBits); ++bit)
                    write_offsets(
                        square[bit],
                        row_offsets + ((word * kWordBits + bit) * max_rows + first) / kGroup,
                        kWordBits / kGroup, kRowGroupsInBlock);
            }
    }

  private:
    static std::uint16_t pack(const Features& features, const Rows& rows, std::int64_t row) {
        std::uint64_t pattern = 0;  // stays 0 if no feature is ever on
        features.pack(rows.bits + row * features.num_source_words, &pattern);
        return static_cast<std::uint16_t>(pattern | static_cast<std::uint64_t>(rows.labels[row]) << kFewFeatures);
    }

    // Reads rows of few features: merges equal rows, and orders rows by their patterns.
    void read_few(const Features& features, const Rows& rows, const std::int32_t* indices) {
        constexpr std::uint32_t num_patterns = 1 << kFewFeatures;
        std::uint8_t is_present[num_patterns] = {};
        for (std::int64_t example = 0; example < num_examples; ++example) {
            std::int64_t row = indices ? indices[example] : example;
            std::uint32_t packed = is_packed ? packed_rows[row] : pack(features, rows, row);
            labels[example] = static_cast<float>(packed >> kFewFeatures);
            row_of[example] = packed % num_patterns;
            is_present[packed % num_patterns] = 1;
        }
        std::uint32_t place[num_patterns];
        std::uint32_t count = 0;
        for (std::uint32_t first = 0; first < num_patterns; first += 8) {
            std::uint64_t eight;
            __builtin_memcpy(&eight, is_present + first, sizeof eight);
            for (; eight; eight &= eight - 1) {
                std::uint32_t pattern = first + static_cast<std::uint32_t>(__builtin_ctzll(eight)) / 8;
                place[pattern] = count;
                __builtin_memcpy(offsets + count * kGroupsInBlock, pair + pattern, sizeof *pair);
                ++count;
            }
        }
        for (std::int64_t example = 0; example < num_examples; ++example) row_of[example] = place[row_of[example]];
        num_rows = count;
    }

    void find_offsets(std::int64_t word) {
        std::uint16_t* to = offsets + word * max_rows * kGroupsInBlock;
        const std::int64_t rest = num_groups - word * kGroupsInBlock;
        const int count = static_cast<int>(rest < kGroupsInBlock ? rest : kGroupsInBlock);
        for (std::int64_t row = 0; row < num_rows; ++row)
            write_offsets(bits[row * row_words + word], to + row * kGroupsInBlock, count, kGroupsInBlock);
    }

    // Writes the offsets of a word's first `count` groups (rounded up to whole bytes). After every `groups_in_block`
    // groups, offsets start again at the first table.
    void write_offsets(std::uint64_t word, std::uint16_t* to, int count, int groups_in_block) const {
        for (int group = 0; group < count; group += 2) {
            std::uint32_t first = static_cast<std::uint32_t>(group % groups_in_block) * table_bytes;
            std::uint32_t both = pair[word >> (group * kGroup) & 255] + (first | first << 16);
            __builtin_memcpy(to + group, &both, sizeof both);
        }
    }

    // Swaps ever smaller blocks across the diagonal. Source: Warren, "Hacker's Delight", section 7-3.
    static void transpose_square(std::uint64_t* square) {
        std::uint64_t mask = 0x00000000ffffffffu;
        for (int size = 32; size > 0; size /= 2, mask ^= mask << size)
            for (int block = 0; block < kWordBits; block += 2 * size)
                for (int row = block; row < block + size; ++row) {
                    std::uint64_t swap = (square[row] >> size ^ square[row + size]) & mask;
                    square[row] ^= swap << size;
                    square[row + size] ^= swap;
                }
    }
};

}  // namespace
}  // namespace vecparity

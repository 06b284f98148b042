// The features that are on in at least one row of a run's dataset. A feature that is never on neither affects the
// network nor gets a gradient, so the kernel trains only on the used features, packed together.
#pragma once

#include "arena.h"

namespace vecparity {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are looked up byte by byte, the lowest first");

constexpr int kWordBits = 64;
constexpr int kWordBytes = 8;

// Packs the used features' bits of a row next to each other, in order.
struct Features {
    std::int64_t count;           // used features
    std::int64_t num_words;       // of a packed row
    std::int64_t num_source_words;
    std::int64_t num_bytes;       // of a source row that contain used features
    std::int32_t* index;          // [count] each used feature's index
    std::int32_t* source_byte;    // [num_bytes] the position of each such byte in the source row
    std::int32_t* word;           // [num_bytes] the packed word of its first used feature
    std::uint64_t* packed;        // [num_bytes, 256] its used bits, shifted into place in that word
    std::uint64_t* spilled;       // [num_bytes, 256] its used bits in the next word

    Features(Arena& arena, std::int64_t n_features, std::int64_t source_words)
        : count(0), num_words(0), num_source_words(source_words), num_bytes(0) {
        index = arena.take<std::int32_t>(n_features);
        source_byte = arena.take<std::int32_t>(source_words * kWordBytes);
        word = arena.take<std::int32_t>(source_words * kWordBytes);
        packed = arena.take<std::uint64_t>(source_words * kWordBytes * 256);
        spilled = arena.take<std::uint64_t>(source_words * kWordBytes * 256);
    }

    // Selects the features whose bit is set in `used`, or all features.
    void choose(const std::uint64_t* used, std::int64_t n_features, bool all) {
        count = num_bytes = 0;
        for (std::int64_t byte = 0; byte * 8 < n_features; ++byte) {
            std::uint32_t mask = all ? 255 : (used[byte / kWordBytes] >> (byte % kWordBytes * 8)) & 255;
            if (n_features - byte * 8 < 8) mask &= (1u << (n_features - byte * 8)) - 1;
            if (mask == 0) continue;
            source_byte[num_bytes] = static_cast<std::int32_t>(byte);
            tabulate(num_bytes, mask);
            for (std::int32_t bit = 0; bit < 8; ++bit)
                if (mask >> bit & 1) index[count++] = static_cast<std::int32_t>(byte * 8 + bit);
            ++num_bytes;
        }
        num_words = ceil_div(count, kWordBits);
    }

    // Packs one row; `to` has room for num_words.
    void pack(const std::uint64_t* row, std::uint64_t* to) const {
        if (count == num_source_words * kWordBits) {
            for (std::int64_t i = 0; i < num_words; ++i) to[i] = row[i];
        } else if (num_words == 1) {
            std::uint64_t bits = 0;
            for (std::int64_t i = 0; i < num_bytes; ++i) bits |= packed[i * 256 + byte_of(row, i)];
            to[0] = bits;
        } else {
            for (std::int64_t i = 0; i < num_words; ++i) to[i] = 0;
            for (std::int64_t i = 0; i < num_bytes; ++i) {
                to[word[i]] |= packed[i * 256 + byte_of(row, i)];
                if (word[i] + 1 < num_words) to[word[i] + 1] |= spilled[i * 256 + byte_of(row, i)];
            }
        }
    }

  private:
    std::uint8_t byte_of(const std::uint64_t* row, std::int64_t i) const {
        return reinterpret_cast<const std::uint8_t*>(row)[source_byte[i]];
    }

    void tabulate(std::int64_t i, std::uint32_t mask) {
        word[i] = static_cast<std::int32_t>(count / kWordBits);
        const std::int64_t shift = count % kWordBits;
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            std::uint64_t bits = 0, place = 0;
            for (std::uint32_t bit = 0; bit < 8; ++bit)
                if (mask >> bit & 1) bits |= static_cast<std::uint64_t>(byte >> bit & 1) << place++;
            packed[i * 256 + byte] = bits << shift;
            spilled[i * 256 + byte] = shift > kWordBits - 8 ? bits >> (kWordBits - shift) : 0;
        }
    }
};

}  // namespace
}  // namespace vecparity

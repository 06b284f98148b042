// torch's CPU generator and permutations, bit for bit.
#pragma once

#include <cstdint>

namespace vecparity {

// MT19937, seeded from 32 bits like torch.Generator.manual_seed (which takes the low 32 bits of a longer seed), drawn a
// whole state at a time. Source: Matsumoto & Nishimura, "Mersenne Twister" (1998).
class Generator {
  public:
    static constexpr int kStateSize = 624;

    explicit Generator(std::uint64_t seed);

    // Returns the remaining draws of this state, or those of a new state if none remain.
    const std::uint32_t* draws(int* count) {
        if (next_ == kStateSize) refill();
        *count = kStateSize - next_;
        return draws_ + next_;
    }
    void consume(int count) { next_ += count; }

    // Skips `count` draws.
    void skip(std::int64_t count);

  private:
    void refill();

    std::uint32_t state_[kStateSize];
    std::uint32_t draws_[kStateSize];
    int next_ = kStateSize;
};

// From this many rows on, torch draws 64 bits per row, which this file does not reproduce.
constexpr std::int64_t kTooManyRows = 0xffffffffu / 20;

// Fills permutation [size] like torch.randperm, for size < kTooManyRows.
void randperm(Generator& generator, std::int64_t size, std::int32_t* permutation);

}  // namespace vecparity

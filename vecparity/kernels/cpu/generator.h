// torch's CPU generator and permutations, bit for bit.
#pragma once

#include <cstdint>

namespace vecparity {

// Matsumoto & Nishimura, "Mersenne Twister" (1998): MT19937 seeded from 32 bits, as torch.Generator.manual_seed does
// (of a longer seed it takes the low 32 bits), drawn a whole state at a time.
class Generator {
  public:
    static constexpr int kStateSize = 624;

    explicit Generator(std::uint64_t seed);

    // Returns the draws left of this state, making a new state if there are none.
    const std::uint32_t* draws(int* count) {
        if (next_ == kStateSize) refill();
        *count = kStateSize - next_;
        return draws_ + next_;
    }
    void consume(int count) { next_ += count; }

    // Goes on as if so many draws had been consumed.
    void skip(std::int64_t count);

  private:
    void refill();

    std::uint32_t state_[kStateSize];
    std::uint32_t draws_[kStateSize];
    int next_ = kStateSize;
};

// From this many rows on torch draws 64 bits a row, which is not reproduced here.
constexpr std::int64_t kTooManyRows = 0xffffffffu / 20;

// Fills permutation [size] as torch.randperm does for size < kTooManyRows.
void randperm(Generator& generator, std::int64_t size, std::int32_t* permutation);

}  // namespace vecparity

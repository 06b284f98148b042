// Epoch permutations of many runs, cut into batches: the native twin of orderings._Ordering.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "generator.h"

namespace vecparity {

class Ordering {
  public:
    Ordering(std::int64_t num_examples, std::uint64_t seed) : num_examples_(num_examples), generator_(seed) {}

    // Writes the next batches: indices [step, batch], zero after the end of a short batch, and lengths [step].
    void fill(std::int32_t* indices, std::int32_t* lengths, std::int64_t num_steps, std::int64_t batch_size);

    // Skips the first batches, drawing only for the epochs passed over; call before any `fill`.
    void skip(std::int64_t num_steps, std::int64_t batch_size);

  private:
    void begin_epoch();

    std::int64_t num_examples_;
    Generator generator_;
    std::vector<std::int32_t> permutation_;
    std::int64_t position_ = 0;
};

class Orderings {
  public:
    Orderings(const std::vector<std::int64_t>& num_examples, const std::vector<std::uint64_t>& seeds);

    std::int64_t size() const { return static_cast<std::int64_t>(orderings_.size()); }

    // Fills indices [run, step, batch] and lengths [run, step], runs in parallel.
    void fill(std::int32_t* indices, std::int32_t* lengths, std::int64_t num_steps, std::int64_t batch_size,
              int threads);

    // Skips the first batches, runs in parallel; call before any `fill`.
    void skip(std::int64_t num_steps, std::int64_t batch_size, int threads);

    // Keeps only some of the runs, in the order given.
    void take(const std::vector<std::int64_t>& runs);

  private:
    std::vector<std::shared_ptr<Ordering>> orderings_;
};

}  // namespace vecparity

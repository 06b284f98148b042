#include "orderings.h"

#include <algorithm>
#include <climits>
#include <string>

#include "checks.h"
#include "parallel.h"

namespace vecparity {
namespace {

// The most steps whose product with any number of rows still fits a 64-bit number of draws.
constexpr std::int64_t kMostSteps = INT64_MAX / kTooManyRows;

}  // namespace

void Ordering::fill(
    std::int32_t* indices, std::int32_t* lengths, std::int64_t num_steps, std::int64_t batch_size) {
    for (std::int64_t step = 0; step < num_steps; ++step) {
        if (position_ == static_cast<std::int64_t>(permutation_.size())) begin_epoch();
        std::int64_t length = std::min(batch_size, num_examples_ - position_);
        std::int32_t* beyond = std::copy_n(permutation_.begin() + position_, length, indices + step * batch_size);
        std::fill_n(beyond, batch_size - length, 0);
        lengths[step] = static_cast<std::int32_t>(length);
        position_ += length;
    }
}

void Ordering::skip(std::int64_t num_steps, std::int64_t batch_size) {
    require(permutation_.empty(), "skip: expected it before any batch, got it later");
    std::int64_t steps_of_epoch = (num_examples_ + batch_size - 1) / batch_size;
    generator_.skip(num_steps / steps_of_epoch * (num_examples_ - 1));  // the draws of `randperm`
    if (std::int64_t steps = num_steps % steps_of_epoch) {
        begin_epoch();
        position_ = steps * batch_size;
    }
}

void Ordering::begin_epoch() {
    permutation_.resize(static_cast<std::size_t>(num_examples_));
    randperm(generator_, num_examples_, permutation_.data());
    position_ = 0;
}

Orderings::Orderings(const std::vector<std::int64_t>& num_examples, const std::vector<std::uint64_t>& seeds) {
    require(num_examples.size() == seeds.size(), "one seed a run, please");
    for (std::size_t run = 0; run < seeds.size(); ++run) {
        require_within("num_examples", num_examples[run], 1, kTooManyRows - 1);
        orderings_.push_back(std::make_shared<Ordering>(num_examples[run], seeds[run]));
    }
}

void Orderings::fill(
    std::int32_t* indices, std::int32_t* lengths, std::int64_t num_steps, std::int64_t batch_size, int threads) {
    for_each_parallel(size(), threads, [&](std::int64_t run, int) {
        orderings_[static_cast<std::size_t>(run)]->fill(
            indices + run * num_steps * batch_size, lengths + run * num_steps, num_steps, batch_size);
    });
}

void Orderings::skip(std::int64_t num_steps, std::int64_t batch_size, int threads) {
    require_within("num_steps", num_steps, 0, kMostSteps);
    require_within("batch_size", batch_size, 1, kMostOfASize);
    require_within("threads", threads, 1, INT_MAX);
    for_each_parallel(size(), threads, [&](std::int64_t run, int) {
        orderings_[static_cast<std::size_t>(run)]->skip(num_steps, batch_size);
    });
}

void Orderings::take(const std::vector<std::int64_t>& runs) {
    std::vector<std::shared_ptr<Ordering>> left = orderings_, taken;
    for (std::int64_t run : runs) {
        // If two runs shared an ordering, two threads would fill it at once.
        if (run < 0 || run >= size() || !left[static_cast<std::size_t>(run)])
            throw std::invalid_argument(
                "runs: expected different ones of 0 to " + std::to_string(size() - 1) + ", got " + std::to_string(run));
        taken.push_back(std::move(left[static_cast<std::size_t>(run)]));
    }
    orderings_ = std::move(taken);
}

}  // namespace vecparity

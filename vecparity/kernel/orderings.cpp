#include "orderings.h"

#include <algorithm>
#include <stdexcept>

#include "parallel.h"

namespace vecparity {

void Ordering::fill(
    std::int32_t* indices, std::int32_t* lengths, std::int64_t num_steps, std::int64_t batch_size) {
    for (std::int64_t step = 0; step < num_steps; ++step) {
        if (position_ == static_cast<std::int64_t>(permutation_.size())) begin_epoch();
        std::int64_t length = std::min(batch_size, num_examples_ - position_);
        std::copy_n(permutation_.begin() + position_, length, indices + step * batch_size);
        lengths[step] = static_cast<std::int32_t>(length);
        position_ += length;
    }
}

void Ordering::skip(std::int64_t num_steps, std::int64_t batch_size) {
    std::int64_t steps_of_epoch = (num_examples_ + batch_size - 1) / batch_size;
    generator_.skip(num_steps / steps_of_epoch * (num_examples_ - 1));  // what `randperm` draws
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
    if (num_examples.size() != seeds.size()) throw std::invalid_argument("one seed a run, please");
    for (std::size_t run = 0; run < seeds.size(); ++run) {
        if (num_examples[run] < 1 || num_examples[run] >= kTooManyRows)
            throw std::invalid_argument("num_examples must be positive and below 2^32 / 20");
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
    for_each_parallel(size(), threads, [&](std::int64_t run, int) {
        orderings_[static_cast<std::size_t>(run)]->skip(num_steps, batch_size);
    });
}

void Orderings::take(const std::vector<std::int64_t>& runs) {
    std::vector<std::shared_ptr<Ordering>> taken;
    for (std::int64_t run : runs) taken.push_back(orderings_.at(static_cast<std::size_t>(run)));
    orderings_ = std::move(taken);
}

}  // namespace vecparity

// The Python module `vecparity.kernels.cpu._native`. Arrays are NumPy arrays (or any buffers), never copied. Callers
// check the meaning of values; this file checks shapes, and every number used to address memory.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "checks.h"
#include "kernel.h"
#include "orderings.h"
#include "parallel.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace vecparity {
namespace {

template <typename T, std::size_t Dimensions>
using Array = nb::ndarray<T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;

std::vector<const Kernel*> available_kernels() {
    std::vector<const Kernel*> kernels;
#ifdef VECPARITY_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        kernels.push_back(&kernel_avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) kernels.push_back(&kernel_avx2);
#endif
    kernels.push_back(&kernel_baseline);
    return kernels;
}

std::vector<std::string> levels() {
    std::vector<std::string> names;
    for (const Kernel* kernel : available_kernels()) names.emplace_back(kernel->name);
    return names;
}

const Kernel& kernel_of(const std::string& level) {
    for (const Kernel* kernel : available_kernels())
        if (level.empty() || level == kernel->name) return *kernel;
    throw std::invalid_argument("no instruction set '" + level + "' here");
}

// Scratch memory for each thread.
class Scratch {
  public:
    Scratch(std::size_t bytes, int threads) : bytes_((bytes + kAlignment - 1) / kAlignment * kAlignment) {
        if (bytes_ > SIZE_MAX / 2 / static_cast<std::size_t>(threads)) throw std::bad_alloc();
        memory_.reset(std::aligned_alloc(kAlignment, bytes_ * static_cast<std::size_t>(threads)));
        if (!memory_) throw std::bad_alloc();
    }
    void* of(int thread) const { return static_cast<char*>(memory_.get()) + bytes_ * static_cast<std::size_t>(thread); }

  private:
    // A page, so that threads share no page.
    static constexpr std::size_t kAlignment = 4096;
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::size_t bytes_;
    std::unique_ptr<void, Free> memory_;
};

// Returns the sizes, after checking that their products fit into 64 bits.
Shape checked_shape(std::int64_t n_features, std::int64_t hidden_width, std::size_t batch_size) {
    require_within("n_features", n_features, 1, kMostOfASize);
    require_within("hidden_width", hidden_width, 1, kMostOfASize);
    require(batch_size <= kMostOfASize, "indices: too large a batch");
    return {n_features, (n_features + 63) / 64, hidden_width, static_cast<std::int64_t>(batch_size)};
}

// Checks that one run's batches refer to existing rows, and returns the number of rows up to the last of them. Reading
// each index once costs little compared to training.
std::int64_t check_batches(
    const std::int32_t* indices, const std::int32_t* lengths, std::int64_t num_steps, std::int64_t batch_size,
    std::int64_t num_rows) {
    std::int64_t num_read = 0;
    for (std::int64_t step = 0; step < num_steps; ++step, indices += batch_size) {
        require_within("lengths", lengths[step], 1, batch_size);
        std::uint32_t largest = 0;  // as unsigned, a negative index is huge
        for (std::int32_t i = 0; i < lengths[step]; ++i) {
            std::uint32_t index = static_cast<std::uint32_t>(indices[i]);
            largest = index > largest ? index : largest;
        }
        if (static_cast<std::int64_t>(largest) >= num_rows)
            require_within("indices", static_cast<std::int32_t>(largest), 0, num_rows - 1);
        num_read = num_read > largest ? num_read : static_cast<std::int64_t>(largest) + 1;
    }
    return num_read;
}

// Returns how many threads train one run, at most `most`: a power of two, since a team divides its slots evenly.
int team_size(int threads, std::int64_t num_runs, int most) {
    int size = 1;
    while (2 * size <= most && 2 * size <= kSlots && 2 * size * num_runs <= threads) size *= 2;
    return size;
}

const std::uint64_t* words(const std::int64_t* bits) { return reinterpret_cast<const std::uint64_t*>(bits); }

void advance(
    Array<float, 2> params, Array<float, 2> exp_avg, Array<float, 2> exp_avg_sq, Array<bool, 1> active,
    Array<const float, 1> decay, Array<const float, 1> one_minus_beta1, Array<const float, 1> beta2,
    Array<const float, 1> one_minus_beta2, Array<const float, 2> step_size, Array<const float, 2> root_correction2,
    Array<const std::int64_t, 1> first_row, Array<const std::int64_t, 2> used, Array<const std::int64_t, 2> bits,
    Array<const std::uint8_t, 1> labels, Array<const std::int32_t, 3> indices, Array<const std::int32_t, 2> lengths,
    Array<double, 1> loss, Array<double, 1> accuracy, Array<std::int64_t, 1> num_batches, std::int64_t n_features,
    std::int64_t hidden_width, int threads, int threads_per_run, const std::string& level) {
    const Kernel& kernel = kernel_of(level);
    const Shape shape = checked_shape(n_features, hidden_width, indices.shape(2));
    require_within("threads", threads, 1, INT_MAX);
    require_within("threads_per_run", threads_per_run, 1, INT_MAX);
    const std::size_t num_runs = params.shape(0), num_params = params.shape(1);
    const std::size_t num_steps = indices.shape(1), num_words = bits.shape(1);
    require(static_cast<std::int64_t>(num_params) == hidden_width * (n_features + 2) + 1, "params: wrong length");
    require(static_cast<std::int64_t>(num_words) == shape.num_words, "bits: wrong number of words");
    require(exp_avg.shape(0) == num_runs && exp_avg.shape(1) == num_params, "exp_avg: wrong shape");
    require(exp_avg_sq.shape(0) == num_runs && exp_avg_sq.shape(1) == num_params, "exp_avg_sq: wrong shape");
    require(used.shape(0) == num_runs && used.shape(1) == num_words, "used: wrong shape");
    require(labels.shape(0) == bits.shape(0), "labels: wrong length");
    require(indices.shape(0) == num_runs, "indices: wrong number of runs");
    require(lengths.shape(0) == num_runs && lengths.shape(1) == num_steps, "lengths: wrong shape");
    require(step_size.shape(0) == num_runs && step_size.shape(1) == num_steps, "step_size: wrong shape");
    require(
        root_correction2.shape(0) == num_runs && root_correction2.shape(1) == num_steps,
        "root_correction2: wrong shape");
    for (std::size_t length :
         {active.shape(0), decay.shape(0), one_minus_beta1.shape(0), beta2.shape(0), one_minus_beta2.shape(0),
          first_row.shape(0), loss.shape(0), accuracy.shape(0), num_batches.shape(0)})
        require(length == num_runs, "wrong number of runs");

    Scratch scratch(kernel.scratch_bytes(shape), threads);
    nb::gil_scoped_release unlocked;
    const std::int64_t num_rows = static_cast<std::int64_t>(bits.shape(0));
    std::vector<std::int64_t> num_read(num_runs);
    // Check all runs before training any, so that a refused call changes nothing.
    for_each_parallel(static_cast<std::int64_t>(num_runs), threads, [&](std::int64_t turn, int) {
        const std::size_t run = static_cast<std::size_t>(turn);
        require_within("first_row", first_row.data()[run], 0, num_rows - 1);
        num_read[run] = check_batches(
            indices.data() + run * num_steps * indices.shape(2), lengths.data() + run * num_steps,
            static_cast<std::int64_t>(num_steps), shape.batch_size, num_rows - first_row.data()[run]);
    });
    std::vector<std::size_t> active_runs;
    for (std::size_t run = 0; run < num_runs; ++run) {
        if (active.data()[run])
            active_runs.push_back(run);
        else
            loss.data()[run] = accuracy.data()[run] = 0, num_batches.data()[run] = 0;
    }
    const std::int64_t num_active = static_cast<std::int64_t>(active_runs.size());
    const auto train = [&](std::int64_t turn, int thread, Team& team, int member) {
        const std::size_t run = active_runs[static_cast<std::size_t>(turn)];
        const std::size_t start = static_cast<std::size_t>(first_row.data()[run]);
        const Sums sums = kernel.train(
            shape,
            {params.data() + run * num_params, exp_avg.data() + run * num_params, exp_avg_sq.data() + run * num_params},
            {words(bits.data()) + start * num_words, labels.data() + start, words(used.data()) + run * num_words,
             num_read[run]},
            {indices.data() + run * num_steps * indices.shape(2), lengths.data() + run * num_steps,
             static_cast<std::int64_t>(num_steps)},
            {decay.data()[run], one_minus_beta1.data()[run], beta2.data()[run], one_minus_beta2.data()[run],
             step_size.data() + run * num_steps, root_correction2.data() + run * num_steps},
            scratch.of(thread), team, member);
        if (member > 0) return;
        active.data()[run] = sums.num_batches == static_cast<std::int64_t>(num_steps);
        loss.data()[run] = sums.loss;
        accuracy.data()[run] = sums.accuracy;
        num_batches.data()[run] = sums.num_batches;
    };
    const auto train_alone = [&](std::int64_t turn, int thread) {
        Team alone = {1, 0, {}};
        train(turn, thread, alone, 0);
    };
    const int size = team_size(threads, num_active, threads_per_run);
    if (size == 1) {
        for_each_parallel(num_active, threads, train_alone);
        return;
    }
    std::vector<Team> teams(active_runs.size(), Team{size, 0, {}});
    const int num_members = static_cast<int>(num_active) * size;
    on_threads(num_members, [&](int thread, int count) {
        if (count == num_members) {
            train(thread / size, thread, teams[static_cast<std::size_t>(thread / size)], thread % size);
        } else {  // some threads could not be started, and an incomplete team would wait for them forever
            for (std::int64_t turn = thread; turn < num_active; turn += count) train_alone(turn, thread);
        }
    });
}

void count_correct(
    Array<const float, 2> params, const std::vector<Array<const std::int64_t, 2>>& bits,
    const std::vector<Array<const std::uint8_t, 1>>& labels, Array<std::int64_t, 1> correct, std::int64_t n_features,
    std::int64_t hidden_width, int threads, const std::string& level) {
    const Kernel& kernel = kernel_of(level);
    constexpr std::int64_t batch_size = 512;  // tables are rebuilt for each batch
    const std::size_t num_runs = params.shape(0), num_params = params.shape(1);
    const Shape shape = checked_shape(n_features, hidden_width, batch_size);
    require_within("threads", threads, 1, INT_MAX);
    require(static_cast<std::int64_t>(num_params) == hidden_width * (n_features + 2) + 1, "params: wrong length");
    require(bits.size() == num_runs && labels.size() == num_runs, "wrong number of test sets");
    require(correct.shape(0) == num_runs, "correct: wrong length");
    for (std::size_t run = 0; run < num_runs; ++run) {
        require(static_cast<std::int64_t>(bits[run].shape(1)) == shape.num_words, "bits: wrong number of words");
        require(labels[run].shape(0) == bits[run].shape(0), "labels: wrong length");
    }
    Scratch scratch(kernel.scratch_bytes(shape), threads);
    nb::gil_scoped_release unlocked;
    for_each_parallel(static_cast<std::int64_t>(num_runs), threads, [&](std::int64_t turn, int thread) {
        const std::size_t run = static_cast<std::size_t>(turn);
        correct.data()[run] = kernel.count_correct(
            shape, params.data() + run * num_params, {words(bits[run].data()), labels[run].data(), nullptr,
            static_cast<std::int64_t>(bits[run].shape(0))}, scratch.of(thread));
    });
}

void fused(
    Array<const float, 1> a, Array<const float, 1> b, Array<const float, 1> c, Array<float, 1> y,
    const std::string& level) {
    require(b.shape(0) == a.shape(0) && c.shape(0) == a.shape(0) && y.shape(0) == a.shape(0), "wrong length");
    kernel_of(level).fused(a.data(), b.data(), c.data(), y.data(), static_cast<std::int64_t>(a.shape(0)));
}

void apply(const std::string& function, Array<const float, 1> x, Array<float, 1> y, const std::string& level) {
    const Kernel& kernel = kernel_of(level);
    require(x.shape(0) == y.shape(0), "y: wrong length");
    require(function == "exp" || function == "log", "no such function");
    (function == "exp" ? kernel.exp : kernel.log)(x.data(), y.data(), static_cast<std::int64_t>(x.shape(0)));
}

std::int64_t multiply_add(std::int64_t rounds, int threads, const std::string& level) {
    const Kernel& kernel = kernel_of(level);
    require_within("rounds", rounds, 0, kMostOfASize);
    require_within("threads", threads, 1, INT_MAX);
    std::atomic<std::int64_t> count{0};
    nb::gil_scoped_release unlocked;
    for_each_parallel(threads, threads, [&](std::int64_t, int) { count += kernel.multiply_add(rounds); });
    return count;
}

void fill(Orderings& orderings, Array<std::int32_t, 3> indices, Array<std::int32_t, 2> lengths, int threads) {
    const std::size_t num_runs = static_cast<std::size_t>(orderings.size());
    require(indices.shape(0) == num_runs && lengths.shape(0) == num_runs, "wrong number of runs");
    require(indices.shape(1) == lengths.shape(1), "lengths: wrong number of steps");
    require(indices.shape(2) >= 1 && indices.shape(2) <= kMostOfASize, "indices: expected a batch of 1 row or more");
    require_within("threads", threads, 1, INT_MAX);
    nb::gil_scoped_release unlocked;
    orderings.fill(
        indices.data(), lengths.data(), static_cast<std::int64_t>(indices.shape(1)),
        static_cast<std::int64_t>(indices.shape(2)), threads);
}

}  // namespace

NB_MODULE(_native, module) {
    // In-place arguments must not be converted, since the function would then update a copy.
    module.def(
        "advance", advance, "params"_a.noconvert(), "exp_avg"_a.noconvert(), "exp_avg_sq"_a.noconvert(),
        "active"_a.noconvert(), "decay"_a.noconvert(), "one_minus_beta1"_a.noconvert(), "beta2"_a.noconvert(),
        "one_minus_beta2"_a.noconvert(), "step_size"_a.noconvert(), "root_correction2"_a.noconvert(), "first_row"_a.noconvert(), "used"_a.noconvert(), "bits"_a.noconvert(),
        "labels"_a.noconvert(), "indices"_a.noconvert(), "lengths"_a.noconvert(), "loss"_a.noconvert(),
        "accuracy"_a.noconvert(), "num_batches"_a.noconvert(), "n_features"_a, "hidden_width"_a,
        "threads"_a, "threads_per_run"_a = kSlots, "level"_a = "");
    module.def(
        "count_correct", count_correct, "params"_a.noconvert(), "bits"_a, "labels"_a, "correct"_a.noconvert(),
        "n_features"_a, "hidden_width"_a, "threads"_a, "level"_a = "");
    module.def("apply", apply, "function"_a, "x"_a.noconvert(), "y"_a.noconvert(), "level"_a = "");
    module.def(
        "fused", fused, "a"_a.noconvert(), "b"_a.noconvert(), "c"_a.noconvert(), "y"_a.noconvert(), "level"_a = "");
    module.def("multiply_add", multiply_add, "rounds"_a, "threads"_a, "level"_a = "");
    module.def("levels", levels);
    module.attr("TOO_MANY_ROWS") = kTooManyRows;
    nb::class_<Orderings>(module, "Orderings")
        .def(
            nb::init<const std::vector<std::int64_t>&, const std::vector<std::uint64_t>&>(), "num_examples"_a,
            "seeds"_a)
        .def("fill", fill, "indices"_a.noconvert(), "lengths"_a.noconvert(), "threads"_a)
        .def(
            "skip", &Orderings::skip, "num_steps"_a, "batch_size"_a, "threads"_a,
            nb::call_guard<nb::gil_scoped_release>())
        .def("take", &Orderings::take, "runs"_a);
}

}  // namespace vecparity

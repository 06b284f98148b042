// The kernel's own source for a CPU: one library for each set of sizes.
#include "device.h"

#include "train_window.cu"

#include <utility>

namespace {

template <typename... Parameters, std::size_t... Index>
void call(void (*kernel)(Parameters...), const std::uint64_t* words, std::index_sequence<Index...>) {
    kernel((Parameters)(words[Index])...);
}

template <typename... Parameters>
void call(void (*kernel)(Parameters...), const std::uint64_t* words) {
    call(kernel, words, std::index_sequence_for<Parameters...>{});
}

}  // namespace

// Launches clusters with the kernel's arguments, 8 bytes each; returns 0 where they come to no end.
extern "C" int launch(const std::uint64_t* words, int num_clusters, unsigned seed, int truncates_sums) {
    using namespace vecparity;
    vecparity::truncates_sums = truncates_sums;
    emulator::Grid grid(num_clusters, kBlocks, kThreads, sizeof(Shared), seed);
    return grid.run([&] { call(train_window, words); });
}

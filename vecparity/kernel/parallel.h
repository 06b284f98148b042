// A loop whose turns are taken by whichever thread is free.
#pragma once

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace vecparity {

// Calls work(turn, thread) for turns 0 to count - 1 on up to `threads` threads, this one among them. `work` must not
// throw.
template <typename Work>
void for_each_parallel(std::int64_t count, int threads, const Work& work) {
    std::atomic<std::int64_t> next{0};
    auto loop = [&](int thread) {
        for (std::int64_t turn; (turn = next.fetch_add(1)) < count;) work(turn, thread);
    };
    std::vector<std::thread> helpers;
    try {
        for (int thread = 1; thread < threads && thread < count; ++thread) helpers.emplace_back(loop, thread);
    } catch (const std::system_error&) {
        // No more threads to be had: those there are will do.
    }
    loop(0);
    for (std::thread& helper : helpers) helper.join();
}

}  // namespace vecparity

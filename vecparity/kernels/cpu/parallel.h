// A parallel loop, in which the next free thread takes the next turn, and threads that work side by side.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace vecparity {

// Calls work(turn, thread) for turns 0 to count - 1 on up to `threads` threads, including the calling one. If calls
// throw, rethrows the last of their exceptions after all turns.
template <typename Work>
void for_each_parallel(std::int64_t count, int threads, const Work& work) {
    std::atomic<std::int64_t> next{0};
    std::exception_ptr failure;
    std::mutex failing;
    auto loop = [&](int thread) {
        for (std::int64_t turn; (turn = next.fetch_add(1)) < count;) {
            try {
                work(turn, thread);
            } catch (...) {
                std::lock_guard<std::mutex> lock(failing);
                failure = std::current_exception();
            }
        }
    };
    std::vector<std::thread> helpers;
    if (threads > count) threads = static_cast<int>(count);
    helpers.reserve(static_cast<std::size_t>(threads > 0 ? threads : 0));
    try {
        for (int thread = 1; thread < threads; ++thread) helpers.emplace_back(loop, thread);
    } catch (const std::system_error&) {
        // No more threads are available; continue with those started.
    }
    loop(0);
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

// Calls work(thread, count) on `count` threads at once, including the calling one: on `threads`, or on as many as can
// be started. The calls may wait for each other, and must not throw.
template <typename Work>
void on_threads(int threads, const Work& work) {
    std::promise<int> started;
    std::shared_future<int> count = started.get_future().share();
    std::vector<std::thread> helpers;
    helpers.reserve(static_cast<std::size_t>(threads));
    try {
        for (int thread = 1; thread < threads; ++thread)
            helpers.emplace_back([&work, thread, count] { work(thread, count.get()); });
    } catch (const std::system_error&) {
        // No more threads are available; continue with those started.
    }
    const int num_started = static_cast<int>(helpers.size()) + 1;
    started.set_value(num_started);
    work(0, num_started);
    for (std::thread& helper : helpers) helper.join();
}

}  // namespace vecparity

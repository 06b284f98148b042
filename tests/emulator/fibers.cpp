#include "fibers.h"

#include <algorithm>
#include <cstring>
#include <utility>

// Saves what a called function must preserve on the stack, and goes on where another stack was left.
extern "C" void switch_stack(void** from, void* to);
asm(R"(
.globl switch_stack
switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

namespace emulator {

Grid* grid = nullptr;

namespace {
constexpr std::size_t kStackBytes = 64 << 10;
constexpr int kSavedRegisters = 6;
constexpr unsigned kMostTurns = 1 << 12;
constexpr unsigned kMostClusterTurns = 1 << 19;
constexpr int kPatience = 32 * kMostClusterTurns;  // turns in which nothing happens
}  // namespace

Grid::Grid(int num_clusters, int cluster_blocks, int block_threads, std::size_t shared_bytes, unsigned seed)
    : cluster_blocks_(cluster_blocks), block_threads_(block_threads), seed_(seed), clusters_(num_clusters) {
    const int num_blocks = num_clusters * cluster_blocks;
    blocks_.resize(num_blocks);
    fibers_.resize(static_cast<std::size_t>(num_blocks) * block_threads);
    for (int b = 0; b < num_blocks; ++b) {
        // NaN in every float that is read before it is written.
        blocks_[b].shared.resize(shared_bytes / sizeof(Line) + 1);
        std::memset(blocks_[b].shared.data(), 0xFF, blocks_[b].shared.size() * sizeof(Line));
        blocks_[b].warps.resize(block_threads / kLanes);
    }
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
        Fiber& fiber = fibers_[i];
        fiber.thread = static_cast<int>(i) % block_threads;
        fiber.block = static_cast<int>(i) / block_threads;
        fiber.stack.reset(new char[kStackBytes]);
        const auto top = reinterpret_cast<std::uintptr_t>(fiber.stack.get() + kStackBytes) & ~std::uintptr_t{63};
        void** slot = reinterpret_cast<void**>(top);
        *--slot = nullptr;  // where `enter` would return to; it never does
        *--slot = reinterpret_cast<void*>(&Grid::enter);
        for (int k = 0; k < kSavedRegisters; ++k) *--slot = nullptr;
        fiber.stack_pointer = slot;
    }
}

bool Grid::run(const std::function<void()>& kernel) {
    kernel_ = kernel;
    grid = this;
    switch_to(0, &caller_);
    grid = nullptr;
    return num_done_ == static_cast<int>(fibers_.size());
}

void Grid::enter() {
    grid->kernel_();
    grid->fibers_[grid->current_].is_done = true;
    grid->idle_ = 0;
    void* nowhere;
    if (++grid->num_done_ == static_cast<int>(grid->fibers_.size())) switch_stack(&nowhere, grid->caller_);
    grid->switch_to(grid->next(), &nowhere);
}

void Grid::switch_to(int fiber, void** from) {
    current_ = fiber;
    switch_stack(from, fibers_[fiber].stack_pointer);
}

unsigned Grid::random(unsigned bound) {
    seed_ = seed_ * 1664525u + 1013904223u;
    return (seed_ >> 8) % bound;
}

// The fiber after the current one that is not done: of all, or of the warp whose turn it is.
int Grid::next() {
    const int count = static_cast<int>(fibers_.size());
    int fiber = current_;
    if (!seed_) {
        do fiber = fiber + 1 == count ? 0 : fiber + 1;
        while (fibers_[fiber].is_done);
        return fiber;
    }
    for (;;) {
        if (turns_left_ == 0) {
            if (cluster_turns_left_ == 0) {
                cluster_turns_left_ = 1 + random(kMostClusterTurns);
                cluster_ = random(static_cast<unsigned>(clusters_.size()));
            }
            turns_left_ = 1 + random(kMostTurns);
            cluster_turns_left_ -= std::min(cluster_turns_left_, turns_left_);
            const unsigned threads = static_cast<unsigned>(block_threads_ * cluster_blocks_);
            fiber = static_cast<int>(cluster_ * threads + random(threads));
        }
        const int first = fiber / kLanes * kLanes;
        for (int i = 1; i <= kLanes; ++i) {
            const int lane = (fiber + i) % kLanes;
            if (fibers_[first + lane].is_done) continue;
            --turns_left_;
            return first + lane;
        }
        turns_left_ = cluster_turns_left_ = 0;  // the whole warp is done
    }
}

void Grid::yield() {
    const int here = current_, there = next();
    if (++idle_ > kPatience) switch_stack(&fibers_[here].stack_pointer, caller_);
    if (there != here) switch_to(there, &fibers_[here].stack_pointer);
}

void Grid::wait(Barrier& barrier, int threads) {
    const int generation = barrier.generation;
    if (++barrier.arrived == threads) {
        barrier.arrived = 0;
        ++barrier.generation;
        idle_ = 0;
    } else {
        while (barrier.generation == generation) yield();
    }
}

}  // namespace emulator

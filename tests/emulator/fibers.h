// A grid of blocks on one CPU thread: every GPU thread is a fiber, and fibers take turns where they wait for others: at
// barriers, at what a warp does together, and while they poll memory. In between a fiber is alone, so that what it does
// is atomic. With a `seed`, clusters drawn at random, and in them warps, get a random number of turns at a time, so that
// some run far ahead of others: then a barrier that is missing shows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace emulator {

constexpr int kLanes = 32;

// What 32 lanes do together: each puts words in, the last one computes, and each takes words out. Results of two
// generations are kept, since a quick lane may be at the next one before a slow one has taken its own.
struct Warp {
    int arrived = 0, generation = 0;
    std::uint64_t in[kLanes][5];
    std::uint64_t out[2][kLanes][4];
};

struct Barrier {
    int arrived = 0, generation = 0;
};

struct alignas(128) Line {
    unsigned char bytes[128];
};

struct Block {
    std::vector<Line> shared;
    std::vector<Warp> warps;
    Barrier barrier;
};

struct Fiber {
    void* stack_pointer = nullptr;
    std::unique_ptr<char[]> stack;
    int thread, block;
    bool is_done = false;
};

class Grid {
  public:
    Grid(int num_clusters, int cluster_blocks, int block_threads, std::size_t shared_bytes, unsigned seed);

    // Calls `kernel` on every thread of every block; returns false if they wait for each other for ever.
    bool run(const std::function<void()>& kernel);

    int thread() const { return fibers_[current_].thread; }
    int rank() const { return fibers_[current_].block % cluster_blocks_; }
    unsigned char* shared() { return shared_in(fibers_[current_].block); }
    unsigned char* shared_of(int rank) {
        return shared_in(fibers_[current_].block / cluster_blocks_ * cluster_blocks_ + rank);
    }

    void yield();
    void block_barrier() { wait(blocks_[fibers_[current_].block].barrier, block_threads_); }
    void cluster_barrier() {
        wait(clusters_[fibers_[current_].block / cluster_blocks_], block_threads_ * cluster_blocks_);
    }

    // `compute(in, out)` for the whole warp; `put(words)` and the result are the calling lane's.
    template <typename Put, typename Compute>
    const std::uint64_t* together(Put put, Compute compute) {
        const int lane = thread() % kLanes;
        Warp& warp = blocks_[fibers_[current_].block].warps[thread() / kLanes];
        const int generation = warp.generation;
        put(warp.in[lane]);
        if (++warp.arrived == kLanes) {
            compute(warp.in, warp.out[generation % 2]);
            warp.arrived = 0;
            ++warp.generation;
            idle_ = 0;
        } else {
            while (warp.generation == generation) yield();
        }
        return warp.out[generation % 2][lane];
    }

  private:
    unsigned char* shared_in(int block) { return blocks_[block].shared[0].bytes; }
    static void enter();
    void wait(Barrier& barrier, int threads);
    void switch_to(int fiber, void** from);
    int next();
    unsigned random(unsigned bound);

    int cluster_blocks_, block_threads_;
    unsigned seed_;
    int current_ = 0;
    unsigned cluster_ = 0, cluster_turns_left_ = 0;  // whose turn it is
    unsigned turns_left_ = 0;                        // of the warp whose turn it is
    int num_done_ = 0;
    int idle_ = 0;  // turns since something that fibers wait for has happened
    void* caller_ = nullptr;
    std::function<void()> kernel_;
    std::vector<Block> blocks_;
    std::vector<Barrier> clusters_;
    std::vector<Fiber> fibers_;
};

extern Grid* grid;  // that runs

}  // namespace emulator

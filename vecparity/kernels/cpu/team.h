// The threads that train one run together. Each owns some of the hidden units, and all of them read every batch and
// compute the same loss from z, the one sum over all units: they meet once a step, when each has its share of z.
//
// z is summed in the same kSlots parts for any number of threads, so a run's result does not depend on that number.
#pragma once

#include <sched.h>

#include "arena.h"
#include "kernel.h"

namespace vecparity {
namespace {

// Units are divided among slots in blocks of as many as the largest tile of any instruction set.
constexpr std::int64_t kBlockUnits = 64;

inline std::int64_t first_unit_of_slot(std::int64_t slot, std::int64_t hidden_width) {
    return ceil_div(hidden_width, kBlockUnits) * slot / kSlots * kBlockUnits;
}

// A thread's place in its team.
class Member {
  public:
    Member(Team& team, int index) : team_(team), index_(index), num_meetings_(0) {}

    int index() const { return index_; }
    int team_size() const { return team_.size; }
    int first_slot() const { return kSlots / team_.size * index_; }
    int end_slot() const { return kSlots / team_.size * (index_ + 1); }

    // Waits for the other threads of the team. What each wrote before is then visible to all.
    void meet() {
        if (team_.size == 1) return;
        const std::int64_t expected = ++num_meetings_ * team_.size;
        __atomic_add_fetch(&team_.num_arrivals, 1, __ATOMIC_ACQ_REL);
        // The others are late by a microsecond or so, unless they share a core with this thread or with other work.
        for (int turn = 0; __atomic_load_n(&team_.num_arrivals, __ATOMIC_ACQUIRE) < expected; ++turn) {
            if (turn < kMostSpins)
                pause();
            else
                sched_yield();
        }
    }

    // Shares this thread's slots of z's lanes with the team, and whether its parameters are all finite; waits for the
    // others'. What is shared stays readable until the meeting after the next, so callers need two buffers.
    void share(const float* z_lanes, bool is_finite) {
        Team::Share& own = team_.shares[num_meetings_ % 2][index_];
        own.z_lanes = z_lanes;
        own.is_finite = is_finite;
        meet();
    }

    // What a thread of the team has shared at the last meeting.
    const Team::Share& shared_by(int member) const { return team_.shares[last_buffer()][member]; }

    // The lanes of a slot that were shared at the last meeting, where slots are `size` apart.
    const float* shared_lanes(int slot, std::int64_t size) const {
        const int num_slots = kSlots / team_.size;
        return shared_by(slot / num_slots).z_lanes + slot % num_slots * size;
    }

    // The buffer to write before the next meeting: one alone needs no second.
    int next_buffer() const { return static_cast<int>(num_meetings_ % 2); }

  private:
    static constexpr int kMostSpins = 1000;

    int last_buffer() const { return team_.size == 1 ? 0 : static_cast<int>((num_meetings_ + 1) % 2); }

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    Team& team_;
    const int index_;
    std::int64_t num_meetings_;
};

}  // namespace
}  // namespace vecparity

// Numbers below the smallest normal float (1.2e-38), on which processors are many times slower.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace vecparity {
namespace {

// While it lives, this thread reads and writes subnormal floats as 0. The moments of a unit that gets no gradient any
// more decay to such numbers within a thousand steps. They would change a parameter by less than 1e-28 learning rates,
// since AdamW's denominator is at least 1e-8.
class SubnormalsAreZero {
  public:
    SubnormalsAreZero() : before_(control()) { set_control(before_ | kAreZero); }
    ~SubnormalsAreZero() { set_control(before_); }
    SubnormalsAreZero(const SubnormalsAreZero&) = delete;
    SubnormalsAreZero& operator=(const SubnormalsAreZero&) = delete;

  private:
    // The memory clobbers keep loads, stores and what is computed between them on their side.
#if defined(__SSE__)
    using Control = unsigned;
    static constexpr Control kAreZero = 0x8040;  // flush results to zero, denormals are zero
    static Control control() { return _mm_getcsr(); }
    static void set_control(Control bits) {
        asm volatile("" ::: "memory");
        _mm_setcsr(bits);
        asm volatile("" ::: "memory");
    }
#elif defined(__aarch64__)
    using Control = std::uint64_t;
    static constexpr Control kAreZero = 1 << 24;
    static Control control() {
        Control bits;
        asm volatile("mrs %0, fpcr" : "=r"(bits));
        return bits;
    }
    static void set_control(Control bits) { asm volatile("msr fpcr, %0" ::"r"(bits) : "memory"); }
#else
    using Control = int;
    static constexpr Control kAreZero = 0;
    static Control control() { return 0; }
    static void set_control(Control) {}
#endif

    const Control before_;
};

}  // namespace
}  // namespace vecparity

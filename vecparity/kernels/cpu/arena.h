// Scratch memory, allocated in sequence. An arena without memory only measures the size.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vecparity {
namespace {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

class Arena {
  public:
    explicit Arena(void* memory) : begin_(static_cast<unsigned char*>(memory)) {}

    // Returns `count` uninitialised elements, starting at a cache line of their own; null if the arena only measures.
    template <typename T>
    T* take(std::int64_t count) {
        unsigned char* here = begin_ ? begin_ + used_ : nullptr;
        used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
        return reinterpret_cast<T*>(here);
    }

    std::size_t used() const { return used_; }

  private:
    unsigned char* begin_;
    std::size_t used_ = 0;
};

}  // namespace
}  // namespace vecparity

// Vectors of VECPARITY_LANES floats, as compiler vector types: + - * / and comparisons work on them.
//
// This file and its users must round alike on all instruction sets: no multiply-add fused by the compiler, no
// reciprocal estimates, no sum whose order depends on the vector's length.
//
// Everything that kernel.cpp includes lives in an unnamed namespace, since it is compiled for several instruction
// sets; for the same reason it uses no templates of the standard library.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace vecparity {
namespace {

constexpr int kLanes = VECPARITY_LANES;

typedef float Vector __attribute__((vector_size(4 * VECPARITY_LANES)));
typedef std::int32_t Integers __attribute__((vector_size(4 * VECPARITY_LANES)));

inline Vector load(const float* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

inline void store(float* to, Vector v) { __builtin_memcpy(to, &v, sizeof v); }

inline Vector splat(float x) { return x - Vector{}; }

inline Vector bits_as_floats(Integers i) { return (Vector)i; }
inline Integers floats_as_bits(Vector v) { return (Integers)v; }

// Selects where ? a : b in each lane. Every lane of `where` is all ones or all zeros, as comparisons return.
inline Vector select(Integers where, Vector a, Vector b) { return where ? a : b; }

// a * b + c with one rounding.
inline Vector fused(Vector a, Vector b, Vector c) {
#if VECPARITY_LANES == 16
    return (Vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif VECPARITY_LANES == 8
    return (Vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (Vector)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__FMA__)
    return (Vector)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#else
    // In double precision the product is exact and the sum is rounded to odd, so that the final rounding is correct
    // (Boldo & Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
    typedef double Doubles __attribute__((vector_size(8 * VECPARITY_LANES)));
    typedef std::int64_t Longs __attribute__((vector_size(8 * VECPARITY_LANES)));
    Doubles product = __builtin_convertvector(a, Doubles) * __builtin_convertvector(b, Doubles);
    Doubles summand = __builtin_convertvector(c, Doubles);
    Doubles sum = product + summand;
    Doubles rest = sum - product;
    Doubles error = (product - (sum - rest)) + (summand - rest);  // Knuth's two-sum; NaN where sum is not finite
    Longs bits = (Longs)sum;
    Longs grows = ~((error > 0.0) ^ (sum > 0.0));  // in magnitude
    Longs moved = grows ? bits + 1 : bits - 1;
    Longs is_even = (bits & 1) == 0;
    Longs is_inexact = (error < 0.0) | (error > 0.0);
    return __builtin_convertvector((Doubles)(is_even & is_inexact ? moved : bits), Vector);
#endif
}

inline Vector square_root(Vector v) {
#if VECPARITY_LANES == 16
    return (Vector)_mm512_sqrt_ps((__m512)v);
#elif VECPARITY_LANES == 8
    return (Vector)_mm256_sqrt_ps((__m256)v);
#elif defined(__SSE__)
    return (Vector)_mm_sqrt_ps((__m128)v);
#elif defined(__aarch64__)
    return (Vector)vsqrtq_f32((float32x4_t)v);
#else
    for (int lane = 0; lane < kLanes; ++lane) v[lane] = __builtin_sqrtf(v[lane]);
    return v;
#endif
}

// Adds the kSumLanes partial sums of a sum over units or examples. Their number does not depend on the vector's length,
// so all instruction sets round alike, and a run's result is the same on every machine.
constexpr int kSumLanes = 16;

inline float sum_of_lanes(const float* lanes) {
    double sums[kSumLanes];
    for (int lane = 0; lane < kSumLanes; ++lane) sums[lane] = lanes[lane];
    for (int half = kSumLanes / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
    return static_cast<float>(sums[0]);
}

// Writes sum_of_lanes of several rows, kSumLanes apart, with the same roundings.
constexpr int kRowsSummed = 8;

inline void sums_of_lanes(const float* lanes, float* sums) {
#if VECPARITY_LANES == 16
    // As each sum of a row halves the row's vector, the halves of two rows are put together in one.
    __m512d eight[8], four[4], two[2];
    for (int row = 0; row < 8; ++row)
        eight[row] = _mm512_cvtps_pd(_mm256_loadu_ps(lanes + row * kSumLanes)) +
                     _mm512_cvtps_pd(_mm256_loadu_ps(lanes + row * kSumLanes + 8));
    for (int i = 0; i < 4; ++i)
        four[i] = _mm512_shuffle_f64x2(eight[i], eight[i + 4], 0x44) +
                  _mm512_shuffle_f64x2(eight[i], eight[i + 4], 0xee);
    for (int i = 0; i < 2; ++i)
        two[i] = _mm512_shuffle_f64x2(four[i], four[i + 2], 0x88) + _mm512_shuffle_f64x2(four[i], four[i + 2], 0xdd);
    // The rows are now in the order 0, 4, 2, 6 and 1, 5, 3, 7, two lanes each.
    __m512d one = _mm512_unpacklo_pd(two[0], two[1]) + _mm512_unpackhi_pd(two[0], two[1]);
    one = _mm512_permutexvar_pd(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), one);
    _mm256_storeu_ps(sums, _mm512_cvtpd_ps(one));
#else
    for (int row = 0; row < kRowsSummed; ++row) sums[row] = sum_of_lanes(lanes + row * kSumLanes);
#endif
}

// relu and the lanes that are positive (or NaN, which passes through), stored in the least memory that is cheap to
// load: a bit per lane if the instruction set has mask registers, else a byte.
#if VECPARITY_LANES == 16
typedef std::uint16_t Positive;

inline Vector relu(Vector v, Positive* is_positive) {
    __mmask16 mask = _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NLE_UQ);
    *is_positive = mask;
    return (Vector)_mm512_max_ps(_mm512_setzero_ps(), (__m512)v);  // the second if either is NaN
}

inline Vector where_positive(const Positive* from, Vector v) {
    return (Vector)_mm512_maskz_mov_ps(*from, (__m512)v);
}

inline Vector add_where_positive(Vector sum, Positive where, Vector v) {
    return (Vector)_mm512_mask_add_ps((__m512)sum, where, (__m512)sum, (__m512)v);
}
#else
typedef std::int8_t Positive __attribute__((vector_size(VECPARITY_LANES)));

inline Vector relu(Vector v, Positive* is_positive) {
    Integers mask = ~(v <= Vector{});
    *is_positive = __builtin_convertvector(mask, Positive);
    return bits_as_floats(floats_as_bits(v) & mask);
}

inline Vector where_positive(const Positive* from, Vector v) {
    return bits_as_floats(floats_as_bits(v) & __builtin_convertvector(*from, Integers));
}

inline Vector add_where_positive(Vector sum, Positive where, Vector v) { return sum + where_positive(&where, v); }
#endif

}  // namespace
}  // namespace vecparity

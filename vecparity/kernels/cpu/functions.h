// exp and log of vectors, accurate to 2 units in the last place.
#pragma once

#include "vector.h"

namespace vecparity {
namespace {

// Returns infinity from 88.7228 on and 0 below -103.98; denormal results are rounded twice.
inline Vector vector_exp(Vector x) {
    // Beyond these limits the result does not change; NaN fails both comparisons and passes through.
    x = select(x > splat(110.0f), splat(110.0f), x);
    x = select(x < splat(-110.0f), splat(-110.0f), x);
    // Adding 1.5 * 2^23 rounds to an integer.
    const float magic = 12582912.0f;
    Vector n = (x * 1.44269504f + magic) - magic;
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    Vector r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    // The Taylor series of exp on |r| <= ln(2) / 2: the first term left out is below 2^-29.
    Vector tail = fused(splat(1.0f / 5040), r, splat(1.0f / 720));
    tail = fused(tail, r, splat(1.0f / 120));
    tail = fused(tail, r, splat(1.0f / 24));
    tail = fused(tail, r, splat(1.0f / 6));
    tail = fused(tail, r, splat(0.5f));
    Vector y = fused(r * r, tail, r) + 1.0f;
    // 2^n as a product of two powers, since n may exceed the range of one exponent.
    Integers exponent = __builtin_convertvector(n, Integers);
    Integers half = exponent >> 1;
    Vector first = bits_as_floats((half + 127) << 23);
    Vector second = bits_as_floats((exponent - half + 127) << 23);
    return y * first * second;
}

// For 0 <= x < infinity, including denormal numbers; minus infinity at 0; NaN passes through.
inline Vector vector_log(Vector x) {
    Integers is_small = x < splat(1.17549435e-38f);
    Vector scaled = select(is_small, x * 8388608.0f, x);
    // x = m * 2^e with m in [sqrt(1/2), sqrt(2)): subtracting the bits of sqrt(1/2) carries into the exponent.
    const std::int32_t root_half = 0x3f3504f3;
    Integers offset = floats_as_bits(scaled) - root_half;
    Integers exponent = offset >> 23;
    Vector m = bits_as_floats((offset & 0x007fffff) + root_half);
    Vector e = __builtin_convertvector(exponent, Vector) - select(is_small, splat(23.0f), Vector{});
    // log m = 2 atanh(s) with s = f / (2 + f), written so that the leading term f is exact:
    // log(1 + f) = f - f^2 / 2 + s * (f^2 / 2 + series(s^2)).
    Vector f = m - 1.0f;
    Vector s = f / (f + 2.0f);
    Vector s2 = s * s;
    Vector series = s2 * (2.0f / 9) + 2.0f / 7;
    series = series * s2 + 2.0f / 5;
    series = series * s2 + 2.0f / 3;
    series = series * s2;
    Vector half_square = f * f * 0.5f;
    Vector correction = s * (half_square + series) + e * -2.12194440e-4f;
    Vector y = e * 0.693359375f + (f - (half_square - correction));
    y = select(x == Vector{}, splat(-__builtin_inff()), y);
    return select(x != x, x, y);
}

}  // namespace
}  // namespace vecparity

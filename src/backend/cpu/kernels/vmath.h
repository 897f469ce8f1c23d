/*
 * vmath.h: exp, log, tanh, erfc and pow in float, written so that loops over them vectorize: no
 * calls, no tables, no branches but ?:.  Polynomials are those of the Cephes library (Moshier);
 * errors stay below 2 units in the last place (pow: below 2 + |y ln x| / 2; erfc: 8 + x^2).
 */
#ifndef SFTN_BACKEND_CPU_VMATH_H
#define SFTN_BACKEND_CPU_VMATH_H

#include "backend/cpu/kernels/kernels.h"

#include <math.h>

/*
 * e^x = 2^n e^r, n = round(x / ln 2).  Adding 1.5 * 2^23 rounds and leaves n in the low bits.  2^n
 * is applied in two factors, so that overflow and subnormal results come out right.
 */
SFTN_INLINE float k_exp(float x)
{
    const float magic = 12582912.0f;
    const float high = x > 89.0f ? 89.0f : x;
    const float c = high < -104.0f ? -104.0f : high;
    const float t = k_fma(c, 1.44269504f, magic);
    const float n = t - magic;
    const float r = k_fma(n, 2.12194440e-4f, k_fma(n, -0.693359375f, c));
    const int32_t whole = (int32_t)(k_bits(t) - k_bits(magic));
    const int32_t half = whole >> 1;
    const float s1 = k_float((uint32_t)(half + 127) << 23);
    const float s2 = k_float((uint32_t)(whole - half + 127) << 23);
    float p = 1.9875691500e-4f;

    p = k_fma(p, r, 1.3981999507e-3f);
    p = k_fma(p, r, 8.3334519073e-3f);
    p = k_fma(p, r, 4.1665795894e-2f);
    p = k_fma(p, r, 1.6666665459e-1f);
    p = k_fma(p, r, 5.0000001201e-1f);
    p = k_fma(p, r * r, r);
    return (p + 1.0f) * s1 * s2;
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)); subnormals are scaled up first. */
SFTN_INLINE float k_log(float x)
{
    const bool tiny = x < 1.17549435e-38f;
    const uint32_t u = k_bits(tiny ? x * 33554432.0f : x) - 0x3f3504f3u;
    const float e = (float)((int32_t)u >> 23) - (tiny ? 25.0f : 0.0f);
    const float f = k_float((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    const float f2 = f * f;
    float p = 7.0376836292e-2f, y;

    p = k_fma(p, f, -1.1514610310e-1f);
    p = k_fma(p, f, 1.1676998740e-1f);
    p = k_fma(p, f, -1.2420140846e-1f);
    p = k_fma(p, f, 1.4249322787e-1f);
    p = k_fma(p, f, -1.6668057665e-1f);
    p = k_fma(p, f, 2.0000714765e-1f);
    p = k_fma(p, f, -2.4999993993e-1f);
    p = k_fma(p, f, 3.3333331174e-1f);
    y = k_fma(e, -2.12194440e-4f, p * f * f2);
    y = k_fma(-0.5f, f2, y) + f;
    y = k_fma(e, 0.693359375f, y);
    y = x > 3.40282347e38f ? x : y;
    return x > 0.0f ? y : (x < 0.0f ? NAN : (x == 0.0f ? -INFINITY : x));
}

/* ln(1 + x): the rounding of 1 + x is put back to first order. */
SFTN_INLINE float k_log1p(float x)
{
    const float u = 1.0f + x;
    const float lost = (x - (u - 1.0f)) / u;

    return k_log(u) + (u > 3.40282347e38f || u <= 0.0f ? 0.0f : lost);
}

SFTN_INLINE float k_abs(float x)
{
    return k_float(k_bits(x) & 0x7fffffffu);
}

SFTN_INLINE float k_tanh(float x)
{
    const float m = k_abs(x), z = x * x;
    const float large = 1.0f - 2.0f / (k_exp(m + m) + 1.0f);
    float p = -5.70498872745e-3f;

    p = k_fma(p, z, 2.06390887954e-2f);
    p = k_fma(p, z, -5.37397155531e-2f);
    p = k_fma(p, z, 1.33314422036e-1f);
    p = k_fma(p, z, -3.33332819422e-1f);
    p = k_fma(p * z, x, x);
    return m < 0.625f ? p : k_float(k_bits(large) | (k_bits(x) & 0x80000000u));
}

/* 1 - x T(x^2) up to 1, e^-x^2 P(1/x^2) / x up to 2, then another P; erfc(-x) = 2 - erfc(x). */
SFTN_INLINE float k_erfc(float x)
{
    const float m = k_abs(x), z = m * m, q = 1.0f / m, y = q * q;
    float t = 7.853861353e-5f, p = 2.326819970e-2f, r = -1.047766399e1f, tail;

    t = k_fma(t, z, -8.010193625e-4f);
    t = k_fma(t, z, 5.188327685e-3f);
    t = k_fma(t, z, -2.685381193e-2f);
    t = k_fma(t, z, 1.128358514e-1f);
    t = k_fma(t, z, -3.761262582e-1f);
    t = k_fma(t, z, 1.128379165f);
    p = k_fma(p, y, -1.387039388e-1f);
    p = k_fma(p, y, 3.687424674e-1f);
    p = k_fma(p, y, -5.824733027e-1f);
    p = k_fma(p, y, 6.210004621e-1f);
    p = k_fma(p, y, -4.944515323e-1f);
    p = k_fma(p, y, 3.404879937e-1f);
    p = k_fma(p, y, -2.741127028e-1f);
    p = k_fma(p, y, 5.638259427e-1f);
    r = k_fma(r, y, 1.297719955e1f);
    r = k_fma(r, y, -7.495518717f);
    r = k_fma(r, y, 2.921019019f);
    r = k_fma(r, y, -1.015265279f);
    r = k_fma(r, y, 4.218463358e-1f);
    r = k_fma(r, y, -2.820767439e-1f);
    r = k_fma(r, y, 5.641895067e-1f);
    tail = k_exp(-z) * q * (m < 2.0f ? p : r);
    tail = m < 1.0f ? k_fma(-m, t, 1.0f) : tail;
    return x < 0.0f ? 2.0f - tail : tail;
}

/* x^y = e^(y ln |x|); x < 0 needs a whole y. */
SFTN_INLINE float k_pow(float x, float y)
{
    const float t = k_exp(y * k_log(k_abs(x)));
    const float half = 0.5f * y;
    const bool whole = floorf(y) == y, odd = whole && floorf(half) != half;
    const float negative = whole ? (odd ? -t : t) : NAN;

    return y == 0.0f ? 1.0f : (x < 0.0f ? negative : t);
}

#endif

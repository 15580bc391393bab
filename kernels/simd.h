/*
 * simd.h: vectors of eight floats that any compiler can build, and functions
 * built for several CPUs, chosen when the program starts; private to kernels/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#ifndef CI_SIMD_H
#define CI_SIMD_H

#include <glib.h>

typedef float CiV8 __attribute__ ((vector_size (32), aligned (32)));
typedef float CiV8u __attribute__ ((vector_size (32), aligned (4)));
typedef gint32 CiV8i __attribute__ ((vector_size (32), aligned (32)));

/* Functions that take or return CiV8 must be inlined: without AVX there is no
 * common calling convention for them. */
#define CI_INLINE static inline __attribute__ ((always_inline))

/* Sanitizers instrument the resolvers, which run too early for them. clang
 * lets no clone for AVX call an inline function that takes a CiV8. */
#if defined (__SANITIZE_ADDRESS__) || defined (__SANITIZE_THREAD__)
# define CI_SANITIZED 1
#elif defined (__has_feature)
# if __has_feature (address_sanitizer) || __has_feature (thread_sanitizer) \
    || __has_feature (undefined_behavior_sanitizer)
#  define CI_SANITIZED 1
# endif
#endif

#if defined (__x86_64__) && defined (__GLIBC__) && !defined (CI_SANITIZED) \
    && defined (__GNUC__) && !defined (__clang__)
/* A level, not a CPU's name: that would match this very model only. */
# if __GNUC__ >= 12
#  define CI_MULTIVERSION \
    __attribute__ ((target_clones ("arch=x86-64-v3", "default")))
# else
#  define CI_MULTIVERSION __attribute__ ((target_clones ("avx2", "default")))
# endif
#else
# define CI_MULTIVERSION
#endif

/* What a source that is built once per level of CPU exports. */
#ifdef CI_LEVEL
# define CI_JOIN(name, level) name##_##level
# define CI_JOIN_VALUES(name, level) CI_JOIN (name, level)
# define CI_FOR_LEVEL(name) CI_JOIN_VALUES (name, CI_LEVEL)
#else
# define CI_FOR_LEVEL(name) name
#endif

/* Whether the CPU has what the compiler may use at a level of the psABI; for
 * sources that are built once per level. */
#if defined (__x86_64__)
# define CI_IS_X86_64_V3() (__builtin_cpu_supports ("avx2") \
    && __builtin_cpu_supports ("fma") && __builtin_cpu_supports ("bmi2"))
# define CI_IS_X86_64_V4() (CI_IS_X86_64_V3 () \
    && __builtin_cpu_supports ("avx512f") \
    && __builtin_cpu_supports ("avx512bw") \
    && __builtin_cpu_supports ("avx512cd") \
    && __builtin_cpu_supports ("avx512dq") \
    && __builtin_cpu_supports ("avx512vl"))
#endif

CI_INLINE CiV8
ci_v8_set1 (gfloat x)
{
  return x - (CiV8) { 0 };
}

CI_INLINE CiV8
ci_v8_select (CiV8i mask, CiV8 a, CiV8 b)
{
  return (CiV8) ((mask & (CiV8i) a) | (~mask & (CiV8i) b));
}

CI_INLINE CiV8
ci_v8_max (CiV8 a, CiV8 b)
{
  return ci_v8_select (a > b, a, b);
}

CI_INLINE CiV8
ci_v8_min (CiV8 a, CiV8 b)
{
  return ci_v8_select (a < b, a, b);
}

/* exp (x) within [-87, 87], clamped outside; relative error about 2e-7. By
 * reduction to [-ln 2 / 2, ln 2 / 2] and a Taylor polynomial of degree 7. */
CI_INLINE CiV8
ci_v8_exp (CiV8 x)
{
  const CiV8 one = ci_v8_set1 (1.0f);
  CiV8 t = ci_v8_min (ci_v8_max (x, ci_v8_set1 (-87.0f)), ci_v8_set1 (87.0f));
  CiV8 k = t * ci_v8_set1 (1.44269504f), r, p;
  CiV8i n;

  /* round to nearest by adding and taking away 1.5 * 2^23 */
  k = (k + ci_v8_set1 (12582912.0f)) - ci_v8_set1 (12582912.0f);
  n = __builtin_convertvector (k, CiV8i);
  r = t - k * ci_v8_set1 (0.693359375f);
  r = r + k * ci_v8_set1 (2.12194440e-4f);
  p = ci_v8_set1 (1.0f / 5040);
  p = p * r + ci_v8_set1 (1.0f / 720);
  p = p * r + ci_v8_set1 (1.0f / 120);
  p = p * r + ci_v8_set1 (1.0f / 24);
  p = p * r + ci_v8_set1 (1.0f / 6);
  p = p * r + ci_v8_set1 (0.5f);
  p = p * r + one;
  p = p * r + one;
  return p * (CiV8) ((n + 127) << 23);
}

/* 1 / (1 + exp (-x)). */
CI_INLINE CiV8
ci_v8_sigmoid (CiV8 x)
{
  const CiV8 one = ci_v8_set1 (1.0f);

  return one / (one + ci_v8_exp (-x));
}

#endif

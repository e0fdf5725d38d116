// What `compiled.c` and `sentence.c` share: `real`, which is fp32 or bf16, nonlinearities, sums.

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef int64_t size;

#ifdef BF16
typedef uint16_t real;
static inline float wide(real x) {
    union { uint32_t bits; float value; } y = {(uint32_t)x << 16};
    return y.value;
}
static inline real narrow(float x) {  // round to nearest, ties to even
    union { float value; uint32_t bits; } y = {x};
    return (real)((y.bits + 0x7fff + ((y.bits >> 16) & 1)) >> 16);
}
#else
typedef float real;
static inline float wide(real x) { return x; }
static inline real narrow(float x) { return x; }
#endif

// exp, tanh and the sigmoid to about 1e-7, written so that loops of them become vector code.
// Method and coefficients: Cephes (Moshier), expf and tanhf.

static inline float exp_(float x) {
    x = x < -87.33654f ? -87.33654f : x;  // the smallest normal number
    x = x > 88.0f ? 88.0f : x;
    float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounds to an integer
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union { int32_t bits; float value; } scale = {((int32_t)n + 127) << 23};
    return p * scale.value;
}

static inline float sigmoid_(float x) { return 1.0f / (1.0f + exp_(-x)); }

static inline float tanh_(float x) {
    float size = x < 0 ? -x : x, square = x * x;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    float large = 1.0f - 2.0f / (exp_(2.0f * size) + 1.0f);
    return size < 0.625f ? p * square * x + x : (x < 0 ? -large : large);
}

// What a reduction to the largest has found; where nothing was larger than the number that Clang's
// begins with, the least finite one, all were -inf or no numbers.
static inline float or_none(float most) { return most > -FLT_MAX ? most : -INFINITY; }

static inline float dot(const float *restrict x, const real *restrict y, size n) {
    float sum = 0;
    #pragma omp simd reduction(+ : sum)
    for (size j = 0; j < n; j++) sum += x[j] * wide(y[j]);
    return sum;
}

static inline void add_scaled(float *restrict sum, float scale, const real *restrict x, size n) {
    #pragma omp simd
    for (size j = 0; j < n; j++) sum[j] += scale * wide(x[j]);
}

// Products with fixed weights for `sentence.c`, in fp32, bf16 or int8, for few rows of inputs. The
// vectors are GCC's and Clang's, which lower them to what the processor has.
//
// I inputs, O outputs.

#include "arithmetic.h"

#if defined __AVX512F__
enum { BYTES = 64, AT_ONCE_ONE = 4, AT_ONCE_MANY = 4 };  // vectors that registers hold sums of
#elif defined __AVX__
enum { BYTES = 32, AT_ONCE_ONE = 8, AT_ONCE_MANY = 2 };
#else
enum { BYTES = 16, AT_ONCE_ONE = 8, AT_ONCE_MANY = 2 };
#endif
enum { LANES = BYTES / 4, COLUMNS = 64, VECTORS = COLUMNS / LANES, ROWS = 5 };

typedef float floats __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef int16_t shorts __attribute__((vector_size(BYTES), aligned(4), may_alias));

const size lanes = LANES;  // for who lays weights out

// y = x W + b; without a bias, y += x W.
typedef struct {
    size inputs, outputs;  // I is a multiple of STEP; the last block of outputs is filled up
    const void *weight;    // blocks of 64 outputs, each (I, 64): see `load`
    const float *bias;     // (O) or null
    const float *scale;    // (O), of int8: what a unit of a sum is worth
    const int32_t *start;  // (O), of int8: what a sum starts with, see `multiply`
    size zero;             // of int8: the input that means 0
} Linear;

#if defined INT8

// Four inputs at a time: a lane holds their four weights for one output.
enum { STEP = 4 };
typedef uint8_t input;  // as `lstm_int8.quantize_bounded` makes it
typedef ints sums, weights;

static inline ints load(const Linear *s, size place) {
    return *(const ints *)((const int8_t *)s->weight + place);
}

#ifdef __AVX512VNNI__
#include <immintrin.h>
const size offset = 1;  // what is multiplied contains the zero point: `start` corrects for it
static inline ints multiply(ints sum, const uint8_t *x, ints weight, size zero) {
    int32_t four;
    memcpy(&four, x, 4);
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(four), (__m512i)weight);
}
#else
const size offset = 0;
static inline ints multiply(ints sum, const uint8_t *x, ints weight, size zero) {
    // Lanes of 16 bits, where a sum of two products fits: 2 x 127 x 127.
    int32_t first = (x[0] - (int)zero) & 0xffff, third = (x[2] - (int)zero) * 65536;
    int32_t second = (x[1] - (int)zero) & 0xffff, fourth = (x[3] - (int)zero) * 65536;
    shorts even = (shorts)((ints){0} + (first | third));
    shorts odd = (shorts)((ints){0} + (second | fourth));
    shorts w = (shorts)weight;
    ints pairs = (ints)((w << 8 >> 8) * even + (w >> 8) * odd);
    return sum + (pairs << 16 >> 16) + (pairs >> 16);
}
#endif

#else

enum { STEP = 1 };
typedef float input;  // rounded to `real`
typedef floats sums, weights;

static inline floats load(const Linear *s, size place) {
#ifdef BF16
    // 32 bits hold a weight of an even vector in their lower half, one of the next in their upper.
    size even = place / (2 * LANES) * (2 * LANES);
    bits pair = *(const bits *)((const uint16_t *)s->weight + even);
    if (even == place) return (floats)(pair << 16);
    return (floats)(pair & 0xffff0000u);
#else
    return *(const floats *)((const float *)s->weight + place);
#endif
}

static inline floats multiply(floats sum, const float *x, floats weight, size zero) {
    return sum + *x * weight;
}

#endif

// The product of `rows` inputs with one block, `vectors` of its outputs at a time. Both are
// constants where this is called, so that loops over them unroll.
static inline __attribute__((always_inline)) void multiply_block(
    const Linear *s, size block, size rows, size vectors, const input *x, size x_row,
    sums out[ROWS][VECTORS]
) {
    for (size first = 0; first < VECTORS; first += vectors) {
        sums sum[ROWS][VECTORS] = {0};
        for (size i = 0; i < s->inputs; i += STEP) {
            size place = (block * s->inputs + i) * COLUMNS + first * LANES * STEP;
            for (size v = 0; v < vectors; v++) {
                weights weight = load(s, place + v * LANES * STEP);
                for (size r = 0; r < rows; r++)
                    sum[r][v] = multiply(sum[r][v], x + r * x_row + i, weight, s->zero);
            }
        }
        for (size r = 0; r < rows; r++)
            for (size v = 0; v < vectors; v++) out[r][first + v] = sum[r][v];
    }
}

static void multiply_few(const Linear *s, size rows, const input *x, size x_row, float *y,
                         size y_row) {
    for (size first = 0; first < s->outputs; first += COLUMNS) {
        sums sum[ROWS][VECTORS];
        size b = first / COLUMNS;
        switch (rows) {
            case 1: multiply_block(s, b, 1, AT_ONCE_ONE, x, x_row, sum); break;
            case 2: multiply_block(s, b, 2, AT_ONCE_MANY, x, x_row, sum); break;
            case 3: multiply_block(s, b, 3, AT_ONCE_MANY, x, x_row, sum); break;
            case 4: multiply_block(s, b, 4, AT_ONCE_MANY, x, x_row, sum); break;
            default: multiply_block(s, b, ROWS, AT_ONCE_MANY, x, x_row, sum);
        }
        size count = s->outputs - first < COLUMNS ? s->outputs - first : COLUMNS;
        for (size r = 0; r < rows; r++) {
            float *restrict to = y + r * y_row + first;
            const float *restrict bias = s->bias ? s->bias + first : to;
#ifdef INT8
            const int32_t *restrict units = (const int32_t *)sum[r];
            const int32_t *restrict start = s->start + first;
            const float *restrict scale = s->scale + first;
            for (size j = 0; j < count; j++)
                to[j] = (float)(units[j] + start[j]) * scale[j] + bias[j];
#else
            const float *restrict product = (const float *)sum[r];
            for (size j = 0; j < count; j++) to[j] = product[j] + bias[j];
#endif
        }
    }
}

static void multiply_rows(const Linear *s, size rows, const input *x, size x_row, float *y,
                          size y_row) {
    for (size r = 0; r < rows; r += ROWS) {
        size few = rows - r < ROWS ? rows - r : ROWS;
        multiply_few(s, few, x + r * x_row, x_row, y + r * y_row, y_row);
    }
}

// Pointwise parts of training and search, each in one pass: the LSTM step, attention, the
// attentional state, dropout masks, the gradient of the NLL; of search, its LSTM step and the
// statistics of logits. Tests hold them to PyTorch's operations. `compiled.py` compiles this file,
// once with `real` = fp32 and once with `real` = bf16, where it finds a compiler.
//
// Shapes: T time, R rows, H width, G = 4 H gates in the order o, i, f, g, B batch, S source length,
// V vocabulary. Tensors are contiguous unless strides of steps and rows are given, in elements.

#include "arithmetic.h"

// ---------------------------------------------------------------------------- LSTM

typedef struct {
    size rows, width;
    const real *before;                 // (T, R, G): the input's part of the gates, or null
    const float *bias;                  // (G)
    real *gates;                        // (T, R, G), after their nonlinearities
    float *cells;                       // (T + 1, R, H)
    real *out;                          // h, (T, R, H)
    size out_step, out_row;
    real *up;                           // h times `drop`, (T, R, H), or null
    size up_step, up_row;
    const real *drop;                   // (T, R, H) or null
    real *dgates;                       // (T, R, G)
    float *dcell, *dbias;               // (R, H), (G)
    const size *last;                   // (R): the step whose state is an output too, or null
    const float *dlast_h, *dlast_c;     // (R, H): gradients of that state
} Lstm;

void lstm_forward(const Lstm *s, size t, const real *restrict product) {
    size H = s->width;
    float a[4 * H];
    for (size r = 0; r < s->rows; r++) {
        size row = t * s->rows + r;
        const real *restrict z = product + r * 4 * H;
        const real *restrict before = s->before ? s->before + row * 4 * H : 0;
        const float *restrict bias = s->bias;
        real *restrict gates = s->gates + row * 4 * H;
        const float *restrict c_before = s->cells + row * H;
        float *restrict c = s->cells + (row + s->rows) * H;
        real *restrict h = s->out + t * s->out_step + r * s->out_row;
        if (before) {
            #pragma omp simd
            for (size j = 0; j < 4 * H; j++) a[j] = wide(z[j]) + wide(before[j]) + bias[j];
        } else {
            #pragma omp simd
            for (size j = 0; j < 4 * H; j++) a[j] = wide(z[j]) + bias[j];
        }
        #pragma omp simd
        for (size j = 0; j < H; j++) {
            float o = sigmoid_(a[j]), i = sigmoid_(a[H + j]), f = sigmoid_(a[2 * H + j]);
            float g = tanh_(a[3 * H + j]);
            float cell = f * c_before[j] + i * g;
            gates[j] = narrow(o);
            gates[H + j] = narrow(i);
            gates[2 * H + j] = narrow(f);
            gates[3 * H + j] = narrow(g);
            c[j] = cell;
            h[j] = narrow(o * tanh_(cell));
        }
        if (s->up) {
            real *restrict up = s->up + t * s->up_step + r * s->up_row;
            const real *restrict drop = s->drop ? s->drop + row * H : 0;
            if (drop) {
                #pragma omp simd
                for (size j = 0; j < H; j++) up[j] = narrow(wide(h[j]) * wide(drop[j]));
            } else {
                memcpy(up, h, H * sizeof(real));
            }
        }
    }
}

// The gradient of h is above * drop + later; `above` is fp32 where `above_is_float`, `later` may be null.
void lstm_backward(const Lstm *s, size t, const void *above, size above_row, size above_is_float,
                   const real *later, size later_row) {
    size H = s->width;
    float dh[H];
    for (size r = 0; r < s->rows; r++) {
        size row = t * s->rows + r;
        if (above_is_float) {
            memcpy(dh, (const float *)above + r * above_row, H * sizeof(float));
        } else {
            const real *restrict x = (const real *)above + r * above_row;
            #pragma omp simd
            for (size j = 0; j < H; j++) dh[j] = wide(x[j]);
        }
        if (s->drop) {
            const real *restrict drop = s->drop + row * H;
            #pragma omp simd
            for (size j = 0; j < H; j++) dh[j] *= wide(drop[j]);
        }
        if (later) {
            const real *restrict x = later + r * later_row;
            #pragma omp simd
            for (size j = 0; j < H; j++) dh[j] += wide(x[j]);
        }
        float *restrict dcell = s->dcell + r * H;
        if (s->last && s->last[r] == t) {
            #pragma omp simd
            for (size j = 0; j < H; j++) {
                dh[j] += s->dlast_h[r * H + j];
                dcell[j] += s->dlast_c[r * H + j];
            }
        }
        const real *restrict a = s->gates + row * 4 * H;
        const float *restrict c_before = s->cells + row * H, *restrict c = c_before + s->rows * H;
        real *restrict d = s->dgates + row * 4 * H;
        float *restrict dbias = s->dbias;
        #pragma omp simd
        for (size j = 0; j < H; j++) {
            float o = wide(a[j]), i = wide(a[H + j]), f = wide(a[2 * H + j]), g = wide(a[3 * H + j]);
            float y = tanh_(c[j]);
            float through = dh[j] * o, dc = dcell[j] + through * (1 - y * y);
            float d_o = through * y * (1 - o), d_i = dc * g * i * (1 - i);
            float d_f = dc * c_before[j] * f * (1 - f), d_g = dc * i * (1 - g * g);
            d[j] = narrow(d_o);
            d[H + j] = narrow(d_i);
            d[2 * H + j] = narrow(d_f);
            d[3 * H + j] = narrow(d_g);
            dbias[j] += d_o;
            dbias[H + j] += d_i;
            dbias[2 * H + j] += d_f;
            dbias[3 * H + j] += d_g;
            dcell[j] = dc * f;
        }
    }
}

// ---------------------------------------------------------------------------- attention

typedef struct {
    size batch, source, width;
    const real *memory, *keys;  // (B, S, H)
    const float *mask;          // (B, S), added to the scores
    float *attention;           // (T, B, S)
    real *attended;             // (T, B, 2 H): the context is written beside the query
    float *dscores, *dcontext;  // (T, B, S), (T, B, H)
    float *dquery;              // (B, H)
    const float *dattention;    // (T, B, S), the gradient of `attention` from outside, or NULL
} Attention;

void attend(const Attention *s, size t) {
    size S = s->source, H = s->width;
    float query[H], context[H];
    for (size b = 0; b < s->batch; b++) {
        real *restrict attended = s->attended + (t * s->batch + b) * 2 * H;
        float *restrict p = s->attention + (t * s->batch + b) * S;
        #pragma omp simd
        for (size j = 0; j < H; j++) query[j] = wide(attended[H + j]), context[j] = 0;
        float most = -INFINITY, sum = 0;
        for (size k = 0; k < S; k++) {
            p[k] = dot(query, s->keys + (b * S + k) * H, H) + s->mask[b * S + k];
            most = p[k] > most ? p[k] : most;
        }
        for (size k = 0; k < S; k++) {
            p[k] = p[k] - most < -87.0f ? 0.0f : exp_(p[k] - most);
            sum += p[k];
        }
        for (size k = 0; k < S; k++) {
            p[k] /= sum;
            if (p[k] != 0) add_scaled(context, p[k], s->memory + (b * S + k) * H, H);
        }
        #pragma omp simd
        for (size j = 0; j < H; j++) attended[j] = narrow(context[j]);
    }
}

// `dattended` (B, 2 H) is the gradient of [context | query]; what is left of it goes to `dquery`.
void attend_backward(const Attention *s, size t, const real *dattended) {
    size S = s->source, H = s->width;
    for (size b = 0; b < s->batch; b++) {
        const real *restrict d = dattended + b * 2 * H;
        const float *restrict p = s->attention + (t * s->batch + b) * S;
        float *restrict dcontext = s->dcontext + (t * s->batch + b) * H;
        float *restrict dscores = s->dscores + (t * s->batch + b) * S;
        float *restrict dquery = s->dquery + b * H;
        const float *dattention = s->dattention ? s->dattention + (t * s->batch + b) * S : NULL;
        #pragma omp simd
        for (size j = 0; j < H; j++) dcontext[j] = wide(d[j]), dquery[j] = wide(d[H + j]);
        float mean = 0;
        for (size k = 0; k < S; k++) {
            dscores[k] = p[k] == 0 ? 0 : dot(dcontext, s->memory + (b * S + k) * H, H);
            mean += p[k] * dscores[k];
        }
        for (size k = 0; dattention && k < S; k++) {
            dscores[k] += dattention[k];
            mean += p[k] * dattention[k];
        }
        for (size k = 0; k < S; k++) {
            dscores[k] = p[k] * (dscores[k] - mean);
            if (dscores[k] != 0) add_scaled(dquery, dscores[k], s->keys + (b * S + k) * H, H);
        }
    }
}

// ---------------------------------------------------------------------------- attentional state

typedef struct {
    size batch, width;
    float *output;              // tanh, (T, B, H)
    const real *drop;           // (T, B, H) or null
    real *dropped;              // output times `drop`, (T, B, H)
    real *fed;                  // the same where the next step reads it, (T, B, H), or null
    size fed_step, fed_row;
    const real *ddropped;       // (T, B, H)
    real *dproduct;             // (T, B, H)
} Output;

void output_forward(const Output *s, size t, const real *restrict product) {
    size H = s->width;
    for (size b = 0; b < s->batch; b++) {
        size row = (t * s->batch + b) * H;
        const real *restrict z = product + b * H;
        float *restrict y = s->output + row;
        real *restrict dropped = s->dropped + row;
        if (s->drop) {
            const real *restrict drop = s->drop + row;
            #pragma omp simd
            for (size j = 0; j < H; j++) {
                y[j] = tanh_(wide(z[j]));
                dropped[j] = narrow(y[j] * wide(drop[j]));
            }
        } else {
            #pragma omp simd
            for (size j = 0; j < H; j++) dropped[j] = narrow(y[j] = tanh_(wide(z[j])));
        }
        if (s->fed) memcpy(s->fed + t * s->fed_step + b * s->fed_row, dropped, H * sizeof(real));
    }
}

// `later` is the gradient from the next step, or null.
void output_backward(const Output *s, size t, const real *later, size later_row) {
    size H = s->width;
    for (size b = 0; b < s->batch; b++) {
        size row = (t * s->batch + b) * H;
        const real *restrict given = s->ddropped + row;
        const real *restrict next = later ? later + b * later_row : 0;
        const float *restrict y = s->output + row;
        real *restrict d = s->dproduct + row;
        for (size j = 0; j < H; j++) {
            float total = wide(given[j]) + (next ? wide(next[j]) : 0.0f);
            float drop = s->drop ? wide(s->drop[row + j]) : 1.0f;
            d[j] = narrow(total * (1 - y[j] * y[j]) * drop);
        }
    }
}

// ---------------------------------------------------------------------------- dropout

void dropout_mask(const uint8_t *restrict bytes, size count, size dropped, float scale,
                  real *restrict mask) {
    real kept = narrow(scale);
    #pragma omp simd
    for (size j = 0; j < count; j++) mask[j] = bytes[j] >= dropped ? kept : 0;
}

// ---------------------------------------------------------------------------- loss

// Turn logits without bias (rows, V) into the gradient of the NLL; add its sum over rows to `dbias`;
// return the NLL in nats. `work` holds V numbers. Probabilities below `least` count as that.
double nll_gradient(real *logits, const float *restrict bias, const size *target, size rows, size V,
                    float *restrict dbias, float *restrict work, float least) {
    double nll = 0;
    for (size r = 0; r < rows; r++) {
        real *restrict x = logits + r * V;
        float most = -INFINITY, sum = 0;
        #pragma omp simd reduction(max : most)
        for (size j = 0; j < V; j++) {
            float score = wide(x[j]) + bias[j];
            work[j] = score;
            most = score > most ? score : most;
        }
        #pragma omp simd reduction(+ : sum)
        for (size j = 0; j < V; j++) {
            float p = exp_(work[j] - most);
            work[j] = p;
            sum += p;
        }
        float scale = 1.0f / sum, gold = work[target[r]] * scale;
        nll -= log(gold < least ? least : gold);  // what is not a number stays so
        work[target[r]] -= sum;
        #pragma omp simd
        for (size j = 0; j < V; j++) {
            float d = work[j] * scale;
            dbias[j] += d;
            x[j] = narrow(d);
        }
    }
    return nll;
}

// ---------------------------------------------------------------------------- search

// One LSTM step from gates (R, G) before their nonlinearities.
void search_cell(size rows, size H, const real *gates, const float *c_before, size c_before_row,
                 float *c, size c_row, real *h, size h_row) {
    for (size r = 0; r < rows; r++) {
        const real *restrict a = gates + r * 4 * H;
        const float *restrict before = c_before + r * c_before_row;
        float *restrict now = c + r * c_row;
        real *restrict out = h + r * h_row;
        #pragma omp simd
        for (size j = 0; j < H; j++) {
            float o = sigmoid_(wide(a[j])), i = sigmoid_(wide(a[H + j]));
            float f = sigmoid_(wide(a[2 * H + j])), g = tanh_(wide(a[3 * H + j]));
            now[j] = f * before[j] + i * g;
            out[j] = narrow(o * tanh_(now[j]));
        }
    }
}

// The largest logit of each block, `most` (rows, blocks), and log-sum-exp of each row, or null.
void logit_statistics(const real *logits, size rows, size blocks, size words, float *most,
                      float *lse) {
    for (size r = 0; r < rows; r++) {
        const real *restrict x = logits + r * blocks * words;
        float top = -INFINITY, sum = 0;
        for (size b = 0; b < blocks; b++) {
            float largest = -INFINITY;
            #pragma omp simd reduction(max : largest)
            for (size j = 0; j < words; j++) {
                float score = wide(x[b * words + j]);
                largest = score > largest ? score : largest;
            }
            most[r * blocks + b] = largest = or_none(largest);
            top = largest > top ? largest : top;
        }
        if (!lse) continue;
        #pragma omp simd reduction(+ : sum)
        for (size j = 0; j < blocks * words; j++) sum += exp_(wide(x[j]) - top);
        lse[r] = top + logf(sum);
    }
}

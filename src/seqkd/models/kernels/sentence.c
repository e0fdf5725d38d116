// Greedy and beam search of one sentence with the LSTM of `models/lstm.py`: from word ids to
// hypotheses in one call, since the calls of a search cost a single sentence more than its
// arithmetic. Tests hold it to the decoders of `lstm_decoder.py` and `lstm_int8.py`, whose rounding
// it repeats, under the searches of `search/`. `sentence.py` compiles it three times, for weights
// in fp32, in bf16 (BF16) and in int8 (INT8).
//
// Shapes: S source length, H width, G = 4 H gates in the order o, i, f, g, L layers, D directions,
// X = H / D, I inputs, O outputs, K hypotheses, V vocabulary, T steps.

#include <stdlib.h>

#include "fixed_product.h"

// ---------------------------------------------------------------------------- the model

enum { MOST_LAYERS = 16 };

// Word vectors, and each word's part of a first layer's gates, bias included, once it was used.
typedef struct {
    size embedding;
    const real *vectors, *weight;  // (V, E), (E, G)
    const float *bias;             // (G)
    float *gates;                  // (V, G)
    uint8_t *found;                // (V)
} Words;

typedef struct {
    size width, layers, directions, feeds, blocks;  // directions: of the first encoder layer
    size steps;                                     // of int8 inputs between 0 and 1
    Words source, target;
    Linear from_below[MOST_LAYERS];    // (H, G) of encoder layers but the first
    Linear forwards[MOST_LAYERS], backwards;  // (X, 4 X), recurrent
    Linear decoder[MOST_LAYERS];              // ([from below | own output before], G)
    Linear attention, combine, output;        // output: fills up the last block with -inf
} Model;

// What is rounded to `real` where a tensor of the decoders holds it.
static void round_to_real(float *x, size n) {
#ifdef BF16
    #pragma omp simd
    for (size j = 0; j < n; j++) x[j] = wide(narrow(x[j]));
#endif
}

static void to_input(const Model *s, const float *restrict x, input *restrict y, size n) {
#ifdef INT8
    float steps = s->steps, half_up = s->steps + 1.5f;
    #pragma omp simd
    for (size j = 0; j < n; j++) y[j] = (uint8_t)(int32_t)(half_up + x[j] * steps);
#else
    memcpy(y, x, n * sizeof(float));
    round_to_real(y, n);
#endif
}

static void word_gates(const Model *s, const Words *words, size word, float *to) {
    size G = 4 * s->width;
    float *gates = words->gates + word * G;
    if (!__atomic_load_n(words->found + word, __ATOMIC_ACQUIRE)) {  // another thread may be at it
        const real *vector = words->vectors + word * words->embedding;
        float sum[G];
        memcpy(sum, words->bias, sizeof sum);
        for (size e = 0; e < words->embedding; e++)
            add_scaled(sum, wide(vector[e]), words->weight + e * G, G);
        memcpy(gates, sum, sizeof sum);
        __atomic_store_n(words->found + word, 1, __ATOMIC_RELEASE);
    }
    memcpy(to, gates, G * sizeof(float));
}

// One LSTM step from gates before their nonlinearities; the cell is overwritten.
static void lstm_cell(size width, const float *restrict a, float *restrict c, float *restrict h) {
    #pragma omp simd
    for (size j = 0; j < width; j++) {
        float o = sigmoid_(a[j]), i = sigmoid_(a[width + j]), f = sigmoid_(a[2 * width + j]);
        c[j] = f * c[j] + i * tanh_(a[3 * width + j]);
        h[j] = o * tanh_(c[j]);
    }
    round_to_real(h, width);
}

// ---------------------------------------------------------------------------- memory of a search

typedef struct {
    size length, beam;
    real *memory, *keys;       // (S, H)
    float *gates;              // (S or K, G)
    float *h;                  // (S or K, H): outputs of a layer
    input *x;                  // (S or K, 2 H): inputs of a product
    float *scores;             // (S): of attention
    float *logits;             // (K, V)
    float *most;               // (K, blocks): the largest logit of each
    float *sum;                // (K): log-sum-exp
    input *states, *chosen;    // (K, (1 + L) H): [attentional | outputs of layers]
    float *cells, *chosen_cells;  // (K, L H)
    void *all[20];
    size count, failed;
} Search;

static void *room(Search *w, size bytes) {
    void *place = calloc(1, bytes + 64);  // the last inputs are read in words
    w->failed |= !place;
    return w->all[w->count++] = place;
}

static Search reserve(const Model *s, size length, size beam) {
    Search w = {.length = length, .beam = beam};
    size H = s->width, rows = length > beam ? length : beam;
    w.memory = room(&w, length * H * sizeof(real));
    w.keys = room(&w, length * H * sizeof(real));
    w.gates = room(&w, rows * 4 * H * sizeof(float));
    w.h = room(&w, rows * H * sizeof(float));
    w.x = room(&w, rows * 2 * H * sizeof(input));
    w.scores = room(&w, length * sizeof(float));
    w.logits = room(&w, beam * s->blocks * COLUMNS * sizeof(float));
    w.most = room(&w, beam * s->blocks * sizeof(float));
    w.sum = room(&w, beam * sizeof(float));
    w.states = room(&w, beam * (1 + s->layers) * H * sizeof(input));
    w.chosen = room(&w, beam * (1 + s->layers) * H * sizeof(input));
    w.cells = room(&w, beam * s->layers * H * sizeof(float));
    w.chosen_cells = room(&w, beam * s->layers * H * sizeof(float));
    return w;
}

static void release(Search *w) {
    while (w->count) free(w->all[--w->count]);
}

// ---------------------------------------------------------------------------- encoder

// One direction of a layer, added to its gates' part from below; see `lstm.run_direction`. The
// state that it ends with is where the decoder's begins.
static void run_direction(const Model *s, Search *w, size layer, const Linear *recurrent,
                          size first, size width) {
    input *own = w->states + (1 + layer) * s->width + first;
    float *cell = w->cells + layer * s->width + first;
    int backwards = recurrent == &s->backwards;
    to_input(s, cell, own, width);  // zeros
    for (size step = 0; step < w->length; step++) {
        size t = backwards ? w->length - 1 - step : step;
        float *gates = w->gates + (t * s->width + first) * 4, *h = w->h + t * s->width + first;
        multiply_rows(recurrent, 1, own, 0, gates, 0);
        round_to_real(gates, 4 * width);
        lstm_cell(width, gates, cell, h);
        to_input(s, h, own, width);
    }
}

// Fills memory, keys and the first row of states and cells; see `Lstm.encode` and `Lstm.start`.
static void encode(const Model *s, Search *w, const int32_t *source) {
    size H = s->width, S = w->length, G = 4 * H;
    for (size t = 0; t < S; t++) word_gates(s, &s->source, source[t], w->gates + t * G);
    for (size layer = 0; layer < s->layers; layer++) {
        if (layer) multiply_rows(&s->from_below[layer], S, w->x, H, w->gates, G);
        size width = layer ? H : H / s->directions;
        run_direction(s, w, layer, &s->forwards[layer], 0, width);
        if (width < H) run_direction(s, w, layer, &s->backwards, width, width);
        to_input(s, w->h, w->x, S * H);
    }
    multiply_rows(&s->attention, S, w->x, H, w->gates, H);
    for (size j = 0; j < S * H; j++) {
        w->memory[j] = narrow(w->h[j]);
        w->keys[j] = narrow(w->gates[j]);
    }
    memset(w->h, 0, H * sizeof(float));
    to_input(s, w->h, w->states, H);  // the first attentional state
}

// ---------------------------------------------------------------------------- decoder

static void attend(const Model *s, Search *w, const float *query, float *restrict context) {
    size H = s->width, S = w->length;
    float *p = w->scores, most = -INFINITY, sum = 0;
    for (size k = 0; k < S; k++) p[k] = dot(query, w->keys + k * H, H);
    round_to_real(p, S);
    for (size k = 0; k < S; k++) most = p[k] > most ? p[k] : most;
    for (size k = 0; k < S; k++) sum += p[k] = exp_(p[k] - most);
    for (size k = 0; k < S; k++) p[k] /= sum;
    round_to_real(p, S);
    memset(context, 0, H * sizeof(float));
    for (size k = 0; k < S; k++) add_scaled(context, p[k], w->memory + k * H, H);
}

// Feeds each hypothesis its last word; leaves logits (K, V). See `Lstm.decoder_step`.
static void decoder_step(const Model *s, Search *w, size rows, const int32_t *token) {
    size H = s->width, G = 4 * H, row = (1 + s->layers) * H, V = s->blocks * COLUMNS;
    for (size r = 0; r < rows; r++) word_gates(s, &s->target, token[r], w->gates + r * G);
    for (size layer = 0; layer < s->layers; layer++) {
        // What is below a layer's own output before, in a row of states, is its input from below.
        const input *x = w->states + (layer || s->feeds ? layer : 1) * H;
        multiply_rows(&s->decoder[layer], rows, x, row, w->gates, G);
        round_to_real(w->gates, rows * G);
        for (size r = 0; r < rows; r++) {
            float *h = w->h + r * H;
            lstm_cell(H, w->gates + r * G, w->cells + (r * s->layers + layer) * H, h);
            to_input(s, h, w->states + r * row + (1 + layer) * H, H);
        }
    }
    for (size r = 0; r < rows; r++) {
        attend(s, w, w->h + r * H, w->gates);
        to_input(s, w->gates, w->x + r * 2 * H, H);
        memcpy(w->x + (2 * r + 1) * H, w->states + (r + 1) * row - H, H * sizeof(input));
    }
    multiply_rows(&s->combine, rows, w->x, 2 * H, w->h, H);
    for (size j = 0; j < rows * H; j++) w->h[j] = tanh_(w->h[j]);
    for (size r = 0; r < rows; r++) to_input(s, w->h + r * H, w->states + r * row, H);
    multiply_rows(&s->output, rows, w->states, row, w->logits, V);
    round_to_real(w->logits, rows * V);
}

// ---------------------------------------------------------------------------- search

enum { PAD = 0, BOS = 2, EOS = 3 };  // `vocabulary/specials.py`

static float largest(const float *x, size n) {
    float most = -INFINITY;
    #pragma omp simd reduction(max : most)
    for (size j = 0; j < n; j++) most = x[j] > most ? x[j] : most;
    return or_none(most);
}

// Finds block maxima and, if wanted, log-sum-exp; makes PAD and BOS impossible; says whether the
// logits are numbers.
static int look_through(const Model *s, Search *w, size rows, int sums) {
    int finite = 1;
    for (size r = 0; r < rows; r++) {
        float *x = w->logits + r * s->blocks * COLUMNS, *most = w->most + r * s->blocks, sum = 0;
        for (size b = 0; b < s->blocks; b++) most[b] = largest(x + b * COLUMNS, COLUMNS);
        float top = largest(most, s->blocks);
        if (sums) {
            #pragma omp simd reduction(+ : sum)
            for (size j = 0; j < s->blocks * COLUMNS; j++) sum += exp_(x[j] - top);
            w->sum[r] = top + logf(sum);
        }
        finite = finite && isfinite(sums ? w->sum[r] : top);
        x[PAD] = x[BOS] = -INFINITY;
        most[0] = largest(x, COLUMNS);
    }
    return finite;
}

// As `rollout.greedy_search`: returns how many words precede EOS, or -1.
static size greedy(const Model *s, Search *w, size limit, int sums, int32_t *words,
                   float *log_prob) {
    int32_t token = BOS;
    *log_prob = sums ? 0 : NAN;
    for (size t = 0; t < limit; t++) {
        decoder_step(s, w, 1, &token);
        if (!look_through(s, w, 1, sums)) return -1;
        size b = 0, j = 0;
        for (size k = 1; k < s->blocks; k++) b = w->most[k] > w->most[b] ? k : b;
        while (j < COLUMNS - 1 && w->logits[b * COLUMNS + j] != w->most[b]) j++;
        token = t + 1 == limit ? EOS : b * COLUMNS + j;
        if (sums) *log_prob += w->logits[token] - w->sum[0];
        if (token == EOS) return t;
        words[t] = token;
    }
    return -1;
}

typedef struct {
    float score;  // what it is ranked by
    int32_t parent, token;
    float log_prob;  // of what has ended
    size length;     // words before EOS
} Candidate;

// Keeps a list of the best `most` in order; of equals, what came first.
static void insert(Candidate *list, size *count, size most, Candidate new) {
    if (*count == most && !(new.score > list[most - 1].score)) return;
    size k = *count < most ? (*count)++ : most - 1;
    for (; k && list[k - 1].score < new.score; k--) list[k] = list[k - 1];
    list[k] = new;
}

// The best extensions of each hypothesis by a word, or by EOS alone; see `beam._expand`.
static size extend(const Model *s, const Search *w, size rows, const float *log_prob, int closes,
                   Candidate *list, size most) {
    size count = 0, V = s->blocks * COLUMNS;
    for (size r = 0; r < rows; r++) {
        const float *x = w->logits + r * V;
        float base = log_prob[r] - w->sum[r];
        if (closes) insert(list, &count, most, (Candidate){x[EOS] + base, r, EOS});
        for (size b = 0; b < s->blocks && !closes; b++) {
            float bound = w->most[r * s->blocks + b] + base;
            if (count == most && !(bound > list[most - 1].score)) continue;
            for (size j = b * COLUMNS; j < (b + 1) * COLUMNS; j++)
                if (x[j] > -INFINITY) insert(list, &count, most, (Candidate){x[j] + base, r, j});
        }
    }
    return count;
}

// The states of the hypotheses that go on, in place of their parents'.
static void advance(const Model *s, Search *w, size rows, const int32_t *parent) {
    size row = (1 + s->layers) * s->width, cells = s->layers * s->width;
    for (size k = 0; k < rows; k++) {
        memcpy(w->chosen + k * row, w->states + parent[k] * row, row * sizeof(input));
        memcpy(w->chosen_cells + k * cells, w->cells + parent[k] * cells, cells * sizeof(float));
    }
    input *states = w->states;
    float *old = w->cells;
    w->states = w->chosen, w->chosen = states;
    w->cells = w->chosen_cells, w->chosen_cells = old;
}

// As `beam.beam_search`: returns how many hypotheses `ended` holds, best first, or -1. `token` and
// `parent` (T, K) are what each step chose to go on with.
static size beam_search(const Model *s, Search *w, size limit, size n_best, const float *divisor,
                        Candidate *list, Candidate *ended, int32_t *token, int32_t *parent) {
    size K = w->beam, rows = 1, found = 0;
    float log_prob[K];
    int32_t last[K];
    log_prob[0] = 0, last[0] = BOS;
    for (size t = 0; t < limit; t++, token += K, parent += K) {
        decoder_step(s, w, rows, last);
        if (!look_through(s, w, rows, 1)) return -1;
        int closes = t + 1 == limit;
        size count = extend(s, w, rows, log_prob, closes, list, 2 * K);
        rows = 0;
        for (size k = 0; k < count; k++) {
            Candidate c = list[k];
            if (c.token != EOS && rows < K) {
                log_prob[rows] = c.score, parent[rows] = c.parent, token[rows++] = c.token;
            } else if (c.token == EOS && k < K) {
                c.log_prob = c.score, c.score /= divisor[t], c.length = t;
                insert(ended, &found, n_best, c);
            }
        }
        if (!rows) break;
        // Scores only fall, and the divisor is largest at the length limit.
        float bound = log_prob[0] / divisor[limit - 1];
        if (found == n_best && ended[n_best - 1].score >= bound) break;
        memcpy(last, token, rows * sizeof *last);
        advance(s, w, rows, parent);
    }
    return found;
}

// Translates a sentence. Writes up to `n_best` hypotheses: words (n_best, limit) before EOS, how
// many, and log-probabilities. Returns how many hypotheses; -1 where the logits are not numbers,
// and -2 where there is no memory.
size search(const Model *s, const int32_t *source, size length, size limit, size beam, size n_best,
            const float *divisor, size wants_log_prob, int32_t *words, int32_t *lengths,
            float *log_prob) {
    Search w = reserve(s, length, beam);
    Candidate *list = room(&w, 2 * beam * sizeof *list), *ended = room(&w, n_best * sizeof *ended);
    int32_t *token = room(&w, limit * beam * sizeof *token);
    int32_t *parent = room(&w, limit * beam * sizeof *parent);
    size found = -2;
    if (!w.failed) {
        encode(s, &w, source);
        if (beam == 1) {
            size count = greedy(s, &w, limit, wants_log_prob, words, log_prob);
            lengths[0] = count, found = count < 0 ? -1 : 1;
        } else {
            found = beam_search(s, &w, limit, n_best, divisor, list, ended, token, parent);
        }
    }
    for (size e = 0; beam > 1 && e < found; e++) {
        size row = ended[e].parent;
        lengths[e] = ended[e].length, log_prob[e] = ended[e].log_prob;
        for (size t = ended[e].length - 1; t >= 0; t--) {
            words[e * limit + t] = token[t * beam + row];
            row = parent[t * beam + row];
        }
    }
    release(&w);
    return found;
}

// The attentional LSTM of Luong et al. (2015) as Kim & Rush (2016) use it, in int8 (lstm_int8.py).
//
// H width, G = 4 H gates in the order o, i, f, g. Outputs of cells and attentional states lie in
// [-1, 1] and are quantised in steps of 1/127; cells, gates and attention are floating point.

class Lstm {
  constructor(file) {
    const config = file.info.architecture;
    this.width = config.width;
    this.layers = config.layers;
    this.feeds = config.input_feeding;
    const bias = (name) => file.tensor(name).values;
    this.output = rows(file.tensor("output_weight_VD"), bias("output_bias_V"));
    const table = (name) => file.tensor(file.has(name) ? name : "output_weight_VD");
    this.source = new WordGates(
      table("src_embedding_VE"), file.tensor("encoder_input.0"), bias("encoder_bias.0"));
    this.target = new WordGates(
      table("tgt_embedding_VE"), file.tensor("decoder_input"), bias("decoder_bias.0"));
    const layers = [...Array(config.layers).keys()];
    this.encoderInput = layers.map((k) =>
      k ? columns(file.tensor(`encoder_input.${k}`), bias(`encoder_bias.${k}`)) : this.source);
    this.encoderRecurrent = layers.map((k) => directions(file.tensor(`encoder_recurrent.${k}`)));
    this.decoderRecurrent = layers.map((k) =>
      columns(file.tensor(`decoder_recurrent.${k}`), k ? bias(`decoder_bias.${k}`) : null));
    this.attention = columns(file.tensor("attention_HH"));
    this.combine = columns(file.tensor("combine"));
    this.vocabularySize = this.output.outputs;
  }

  // Encodes a source. Returns what all hypotheses share, and the state of the first one.
  start(source) {
    const { width, layers } = this;
    const state = { outputs: new Float64Array((layers + 1) * width), cells: new Float32Array(layers * width) };
    let inputs = source; // word ids, then quantised outputs of the layer below
    let memory = [];
    for (let layer = 0; layer < layers; layer++) {
      const fromBelow = this.encoderInput[layer];
      const gates = inputs.map((x) => fromBelow.apply(x, new Float32Array(4 * width)));
      memory = inputs.map(() => new Float32Array(width));
      this.encoderRecurrent[layer].forEach((recurrent, direction) => {
        const size = recurrent.inputs, from = direction * size;
        const last = runDirection(recurrent, gates, memory, direction);
        state.cells.set(last.cell, layer * width + from);
        state.outputs.set(last.output, (layer + 1) * width + from);
      });
      inputs = memory.map((output) => Float64Array.from(output, quantize));
    }
    const keys = inputs.map((x) => this.attention.apply(x, new Float32Array(width)));
    return { sentence: { memory, keys }, state };
  }

  // One step of the decoder: logits of the next word, the attention, and the new state.
  step(token, sentence, before) {
    const { width } = this;
    const state = { outputs: new Float64Array(before.outputs.length), cells: new Float32Array(before.cells.length) };
    // The attentional state before is part of the input: input feeding (sec. 3.3).
    let below = before.outputs.subarray(0, width);
    const output = new Float32Array(width);
    this.decoderRecurrent.forEach((recurrent, layer) => {
      const own = before.outputs.subarray((layer + 1) * width, (layer + 2) * width);
      const gates = recurrent.apply(
        layer || this.feeds ? concatenate(below, own) : own, new Float32Array(4 * width));
      if (!layer) add(gates, this.target.of(token));
      const cells = state.cells.subarray(layer * width, (layer + 1) * width);
      cells.set(before.cells.subarray(layer * width, (layer + 1) * width));
      lstmCell(gates, 0, width, cells, output);
      below = state.outputs.subarray((layer + 1) * width, (layer + 2) * width);
      for (let j = 0; j < width; j++) below[j] = quantize(output[j]);
    });
    const { context, attention } = attend(output, sentence);
    // The attentional state: tanh(W_c [context; h]) (eq. 5).
    const mixed = this.combine.apply(
      concatenate(Float64Array.from(context, quantize), below), new Float32Array(width));
    const attentional = state.outputs.subarray(0, width);
    for (let j = 0; j < width; j++) attentional[j] = quantize(fround(Math.tanh(mixed[j])));
    const logits = this.output.apply(attentional, new Float32Array(this.vocabularySize));
    return { logits, attention, state };
  }
}

// Runs one direction over the gates of a sentence from a zero state, and returns where it ends.
function runDirection(recurrent, gates, memory, direction) {
  const size = recurrent.inputs, count = gates.length;
  const cell = new Float32Array(size), x = new Float64Array(size);
  const own = new Float32Array(4 * size), part = new Float32Array(4 * size);
  for (let step = 0; step < count; step++) {
    const place = direction ? count - 1 - step : step;
    part.set(gates[place].subarray(direction * 4 * size, (direction + 1) * 4 * size));
    add(part, recurrent.apply(x, own));
    const output = memory[place].subarray(direction * size, (direction + 1) * size);
    lstmCell(part, 0, size, cell, output);
    for (let j = 0; j < size; j++) x[j] = quantize(output[j]);
  }
  return { cell, output: x };
}

// Hochreiter & Schmidhuber (1997); overwrites cell and output.
function lstmCell(gates, from, size, cell, output) {
  for (let j = 0; j < size; j++) {
    const o = sigmoid(gates[from + j]), i = sigmoid(gates[from + size + j]);
    const f = sigmoid(gates[from + 2 * size + j]), g = fround(Math.tanh(gates[from + 3 * size + j]));
    cell[j] = fround(f * cell[j]) + fround(i * g);
    output[j] = o * fround(Math.tanh(cell[j]));
  }
}

// "General" attention: the score of a source word is h W_a h_s (eq. 8); keys are W_a h_s.
function attend(h, { memory, keys }) {
  const attention = softmax(keys.map((key) => dot(h, key)));
  const context = new Float32Array(h.length);
  for (let j = 0; j < h.length; j++) {
    let sum = 0;
    for (let s = 0; s < memory.length; s++) sum += attention[s] * memory[s][j];
    context[j] = sum;
  }
  return { context, attention };
}

// The part of a first layer's gates that depends on the word alone, made once for each word.
class WordGates {
  constructor(table, weight, bias) {
    const [, outputs] = weight.shape;
    this.table = table;
    this.weight = Float32Array.from(weight.values, (value, p) => value * weight.scale[p % outputs]);
    this.bias = bias;
    this.known = new Map();
  }

  of(token) {
    if (!this.known.has(token)) this.known.set(token, this.product(token));
    return this.known.get(token);
  }

  product(token) {
    const { table, weight } = this, [, size] = table.shape;
    const gates = Float64Array.from(this.bias);
    for (let i = 0, p = 0; i < size; i++) {
      const value = fround(table.values[token * size + i] * table.scale[token]);
      for (let j = 0; j < gates.length; j++, p++) gates[j] += value * weight[p];
    }
    return Float32Array.from(gates);
  }

  apply(token) {
    return this.of(token);
  }
}

// ---------------------------------------------------------------------------- weights as products

// A matrix (inputs, outputs) with a scale for each column.
function columns({ shape: [inputs, outputs], values, scale }, bias = null) {
  return new Int8Linear(inputs, outputs, (o, i) => values[i * outputs + o], scale, bias);
}

// A matrix (outputs, inputs) with a scale for each row.
function rows({ shape: [outputs, inputs], values, scale }, bias) {
  return new Int8Linear(inputs, outputs, (o, i) => values[o * inputs + i], scale, bias);
}

// The one or two directions of a layer: (directions, inputs, outputs).
function directions({ shape: [count, inputs, outputs], values, scale }) {
  const size = inputs * outputs;
  return [...Array(count).keys()].map((d) =>
    columns({
      shape: [inputs, outputs],
      values: values.subarray(d * size, (d + 1) * size),
      scale: scale.subarray(d * outputs, (d + 1) * outputs),
    }));
}

// ---------------------------------------------------------------------------- vectors

function sigmoid(x) {
  return fround(1 / (1 + Math.exp(-x)));
}

function dot(x, y) {
  let sum = 0;
  for (let j = 0; j < x.length; j++) sum += x[j] * y[j];
  return sum;
}

function add(x, y) {
  for (let j = 0; j < x.length; j++) x[j] += y[j];
}

function concatenate(x, y) {
  const both = new Float64Array(x.length + y.length);
  both.set(x);
  both.set(y, x.length);
  return both;
}

function softmax(scores) {
  const top = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - top));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

// Products of int8 weights with int8 inputs: exact, in plain JavaScript.
//
// Two weights share one double, as high * 2^26 + low, so that a multiplication and an addition serve
// two outputs. A double keeps both sums exact while each is below 2^25, for up to 2,080 inputs.

const HALF = 2 ** 26;
const { fround } = Math; // rounds to fp32, as PyTorch does after each operation
const STEPS = 127; // of quantised inputs between 0 and 1, as in lstm_int8.py on a CPU with VNNI
const STEP = fround(1 / STEPS);

// Rounds a value in [-1, 1] to an integer in [-127, 127]; fp32 rounds the sum, as there.
function quantize(value) {
  return Math.trunc(fround(value * STEPS + (STEPS + 1.5))) - (STEPS + 1);
}

class Int8Linear {
  // values(output, input) is an int8 weight; each output has a scale and perhaps a bias.
  constructor(inputs, outputs, values, scale, bias = null) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.scale = Float32Array.from(scale, (each) => fround(each * STEPS) / STEPS);
    this.bias = bias || new Float32Array(outputs);
    const blocks = Math.ceil(outputs / 8); // eight outputs in four doubles
    this.sums = new Float64Array(8 * blocks);
    this.packed = new Float64Array(4 * blocks * inputs);
    for (let output = 0; output < outputs; output++) {
      const place = (output >> 3) * 4 * inputs + ((output & 7) >> 1);
      const unit = output & 1 ? 1 : HALF;
      for (let input = 0; input < inputs; input++) {
        this.packed[place + 4 * input] += unit * values(output, input);
      }
    }
  }

  // Writes W x + b into y. x holds integers, as doubles.
  apply(x, y) {
    const { packed, sums, inputs, outputs, scale, bias } = this;
    for (let output = 0, p = 0; output < outputs; output += 8) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = 0; i < inputs; i++, p += 4) {
        const value = x[i];
        a += packed[p] * value;
        b += packed[p + 1] * value;
        c += packed[p + 2] * value;
        d += packed[p + 3] * value;
      }
      unpack(a, sums, output);
      unpack(b, sums, output + 2);
      unpack(c, sums, output + 4);
      unpack(d, sums, output + 6);
    }
    for (let i = 0; i < outputs; i++) y[i] = fround(fround(sums[i] * STEP) * scale[i]) + bias[i];
    return y;
  }
}

function unpack(both, sums, place) {
  const high = Math.round(both / HALF);
  sums[place] = high;
  sums[place + 1] = both - high * HALF;
}

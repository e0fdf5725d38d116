// The model file: safetensors with a JSON header, both vocabularies and int8 weights (model_file.py).

const TYPES = { F32: Float32Array, I8: Int8Array, U8: Uint8Array };

// Returns the header and a function that gives a tensor: {shape, values, scale}.
function readModelFile(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = Number(view.getBigUint64(0, true));
  const entries = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const plain = (name) => {
    const { dtype, shape, data_offsets: [start, end] } = entries[name];
    // A copy, because a typed array starts at a multiple of its element.
    const content = bytes.slice(8 + length + start, 8 + length + end);
    return { shape, values: new TYPES[dtype](content.buffer) };
  };
  const tensor = (name) => {
    if (name in entries) return plain(name);
    return { ...plain(`${name}:values`), scale: plain(`${name}:scale`).values };
  };
  const has = (name) => name in entries || `${name}:values` in entries;
  return { info: JSON.parse(entries.__metadata__.seqkd), tensor, has };
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

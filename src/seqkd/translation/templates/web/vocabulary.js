// Vocabularies: text to ids and back. Subwords of sentencepiece, unigram (Kudo 2018) or BPE (Sennrich
// et al. 2016), and lists of words. `encode` returns ids and, of each, the text that it stands for.

const PAD = 0, UNK = 1, BOS = 2, EOS = 3;
const WORD_HEADER = "# seqkd word vocabulary, tokenizer ";
const NORMAL = 1, USER_DEFINED = 4, UNIGRAM = 1, BPE = 2; // numbers in a sentencepiece model
const UNKNOWN_PENALTY = 10;

function parseVocabulary(bytes) {
  const isWordList = new TextDecoder().decode(bytes.subarray(0, 80)).startsWith(WORD_HEADER);
  return isWordList ? new WordVocabulary(bytes) : new SubwordVocabulary(bytes);
}

// ---------------------------------------------------------------------------- protocol buffers

// Returns the fields of a message: number -> list of values; bytes where a field has a length.
function readMessage(bytes) {
  const fields = {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let place = 0;
  const varint = () => {
    let value = 0, unit = 1, byte;
    do {
      byte = bytes[place++];
      value += (byte & 127) * unit;
      unit *= 128;
    } while (byte & 128);
    return value;
  };
  const content = (size) => bytes.subarray(place, (place += size));
  while (place < bytes.length) {
    const key = varint();
    let value;
    if ((key & 7) === 0) value = varint();
    else if ((key & 7) === 2) value = content(varint());
    else if ((key & 7) === 5) (value = view.getFloat32(place, true)), (place += 4);
    else content(8); // a 64-bit number; sentencepiece has none that matters here
    (fields[key >> 3] ||= []).push(value);
  }
  return fields;
}

// ---------------------------------------------------------------------------- subwords

class SubwordVocabulary {
  constructor(bytes) {
    const text = (content) => new TextDecoder().decode(content);
    const model = readMessage(bytes);
    const trainer = readMessage(model[2][0]), normaliser = readMessage(model[3][0]);
    this.kind = trainer[3] ? trainer[3][0] : UNIGRAM;
    const isPlain = !(normaliser[2] && normaliser[2][0].length) && !(trainer[35] && trainer[35][0]);
    if (![UNIGRAM, BPE].includes(this.kind) || !isPlain) {
      throw new Error("This page supports unigram and BPE subwords, without rules of their own.");
    }
    this.unknownSurface = trainer[44] ? text(trainer[44][0]) : " \u2047 ";
    this.pieces = [];
    this.ids = new Map();
    this.scores = [];
    this.longest = 0; // in code points
    let least = Infinity;
    model[1].map(readMessage).forEach((piece, id) => {
      const name = text(piece[1][0]), type = piece[3] ? piece[3][0] : NORMAL;
      this.pieces.push(name);
      this.scores.push(piece[2] ? piece[2][0] : 0);
      if (type !== NORMAL && type !== USER_DEFINED) return;
      this.ids.set(name, id);
      this.longest = Math.max(this.longest, [...name].length);
      least = Math.min(least, this.scores[id]);
    });
    this.unknownScore = fround(least - UNKNOWN_PENALTY);
  }

  encode(line) {
    if (!line) return { ids: [], surfaces: [] };
    const characters = [...(WORD_MARK + line.replaceAll(" ", WORD_MARK))];
    const cut = this.kind === UNIGRAM ? this.viterbi(characters) : this.merge(characters);
    const ids = [], surfaces = [];
    for (const surface of cut) {
      const id = this.ids.has(surface) ? this.ids.get(surface) : UNK;
      // Unknown characters in a row are one token.
      if (id === UNK && ids.at(-1) === UNK) surfaces.push(surfaces.pop() + surface);
      else ids.push(id), surfaces.push(surface);
    }
    return { ids, surfaces };
  }

  // The most probable segmentation: the best way to each place, over all pieces that end there.
  viterbi(characters) {
    const count = characters.length;
    const best = new Float32Array(count + 1), start = new Int32Array(count + 1).fill(-1);
    for (let from = 0; from < count; from++) {
      const reach = (to, score) => {
        const total = fround(best[from] + score);
        if (start[to] < 0 || total > best[to]) (best[to] = total), (start[to] = from);
      };
      let piece = "", isKnown = false;
      for (let to = from + 1; to <= Math.min(count, from + this.longest); to++) {
        piece += characters[to - 1];
        const id = this.ids.get(piece);
        if (id === undefined) continue;
        reach(to, this.scores[id]);
        isKnown ||= to === from + 1;
      }
      if (!isKnown) reach(from + 1, this.unknownScore);
    }
    const cut = [];
    for (let to = count; to > 0; to = start[to]) cut.unshift(characters.slice(start[to], to).join(""));
    return cut;
  }

  // Joins neighbours, those of the highest score first, the leftmost of equals.
  merge(characters) {
    const parts = [...characters];
    for (;;) {
      let best = -Infinity, where = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const id = this.ids.get(parts[i] + parts[i + 1]);
        if (id !== undefined && this.scores[id] > best) (best = this.scores[id]), (where = i);
      }
      if (where < 0) return parts;
      parts.splice(where, 2, parts[where] + parts[where + 1]);
    }
  }

  surfaces(ids) {
    return ids.map((id) => (id === UNK ? this.unknownSurface : id <= EOS ? "" : this.pieces[id]));
  }

  decode(ids) {
    return this.surfaces(ids).join("").replace(/^\u2581+/, "").replaceAll(WORD_MARK, " ");
  }
}

// ---------------------------------------------------------------------------- words

const UNSPACED = HAN + SPELLING;
const LETTER = `(?:(?![${UNSPACED}])[\\p{L}\\p{N}_])`;
const WORD = `${LETTER}+(?:[${MARKS}]+${LETTER}*)*|[${UNSPACED}][${MARKS}]*`;
const PARTS = new RegExp(`<unk>|${WORD}|[^\\p{L}\\p{N}_\\s]`, "gu");
const MARK = /^[^\p{L}\p{N}_]$/u;
const JOINER = "\uffed"; // on the side where a mark touches its neighbour

class WordVocabulary {
  constructor(bytes) {
    const [header, ...words] = new TextDecoder().decode(bytes).replace(/\n$/, "").split("\n");
    this.isTokenised = header.slice(WORD_HEADER.length) === "whitespace";
    this.words = words;
    this.ids = new Map(words.map((word, id) => [word, id]));
    for (const id of [PAD, BOS, EOS]) this.ids.delete(words[id]);
  }

  encode(line) {
    const chunks = line.split(" ").filter(Boolean);
    const surfaces = this.isTokenised ? chunks : chunks.flatMap(cutWords);
    return { ids: surfaces.map((word) => this.ids.get(word) ?? UNK), surfaces };
  }

  surfaces(ids) {
    return ids.map((id) => (id === PAD || id === BOS || id === EOS ? "" : this.words[id]));
  }

  decode(ids) {
    const text = this.surfaces(ids).filter(Boolean).join(" ");
    if (this.isTokenised) return text;
    return text.replaceAll(`${JOINER} `, "").replaceAll(` ${JOINER}`, "").replaceAll(JOINER, "");
  }
}

function cutWords(chunk) {
  const parts = (chunk.match(PARTS) || []).map((part) => (part === JOINER ? "<unk>" : part));
  const words = [...parts];
  for (let i = 1; i < parts.length; i++) {
    if (MARK.test(parts[i - 1]) && !MARK.test(parts[i])) words[i - 1] += JOINER;
    else words[i] = JOINER + words[i];
  }
  return words;
}

// ---------------------------------------------------------------------------- places in the text

// Returns where each token lies in the text, [start, end).
function spans(text, surfaces) {
  let place = 0;
  return surfaces.map((surface) => {
    const bare = surface.replaceAll(WORD_MARK, " ").replaceAll(JOINER, "").trim();
    const start = bare ? text.indexOf(bare, place) : -1;
    if (start >= 0) place = start + bare.length;
    return start < 0 ? [place, place] : [start, place];
  });
}

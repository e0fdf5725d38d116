// Translates in a thread of its own, so that typing never waits.

const MAX_SOURCE = 250; // tokens of a sentence that the model sees, as in engine.py
const PATIENCE_MS = 40; // between two looks at whether the text has changed
const KEPT = 2000; // sentences whose translations are remembered

class Translator {
  constructor(base64) {
    const file = readModelFile(fromBase64(base64));
    const vocabulary = (name) => parseVocabulary(file.tensor(name).values);
    this.src = vocabulary("vocabulary.src");
    this.tgt = file.has("vocabulary.tgt") ? vocabulary("vocabulary.tgt") : this.src;
    this.model = new Lstm(file);
    this.known = new Map();
  }

  // Translates a normalised sentence; an empty one has the empty translation.
  translate(text, beam, nBest) {
    const { ids, surfaces } = this.src.encode(text);
    const source = [...ids.slice(0, MAX_SOURCE), EOS];
    let found = [{ tokens: [], attention: [], logProb: 0 }];
    if (ids.length && beam === 1) found = greedySearch(this.model, source);
    else if (ids.length) found = beamSearch(this.model, source, beam, nBest);
    const hypotheses = found.map(({ tokens, attention, logProb }) => {
      const translation = this.tgt.decode(tokens);
      const places = spans(translation, this.tgt.surfaces(tokens));
      return { text: translation, logProb, attention, spans: places };
    });
    return { text, spans: spans(text, surfaces), isCut: ids.length > MAX_SOURCE, hypotheses };
  }

  // The same, from memory where the sentence has been translated before; `fresh` forgets.
  recall(text, beam, nBest, fresh) {
    const key = `${beam} ${nBest} ${text}`;
    const isNew = fresh || !this.known.has(key);
    if (isNew) {
      if (this.known.size >= KEPT) this.known.delete(this.known.keys().next().value);
      this.known.set(key, this.translate(text, beam, nBest));
    }
    return { found: this.known.get(key), isNew };
  }
}

let translator = null;
let newest = 0; // number of the newest request: older ones stop

// Answers with the sentences of each line, then with each translation, then with the time it took.
async function translateLines({ id, lines, split, beam, nBest, fresh }) {
  const plan = lines.map(normalise).map((line) => (split ? splitSentences(line) : [line]));
  postMessage({ kind: "plan", id, plan });
  let rest = performance.now(), words = 0, milliseconds = 0;
  for (const [index, text] of plan.flat().entries()) {
    const start = performance.now();
    const { found, isNew } = translator.recall(text, beam, nBest, fresh);
    if (isNew) {
      milliseconds += performance.now() - start;
      words += runningWords(text);
    }
    postMessage({ kind: "sentence", id, index, found });
    if (performance.now() - rest > PATIENCE_MS) {
      await new Promise((resolve) => setTimeout(resolve)); // newer requests come in here
      if (id !== newest) return;
      rest = performance.now();
    }
  }
  postMessage({ kind: "done", id, words, milliseconds });
}

onmessage = async ({ data }) => {
  try {
    if (data.model) {
      translator = new Translator(data.model);
      postMessage({ kind: "ready" });
    } else {
      newest = data.id;
      await translateLines(data);
    }
  } catch (error) {
    postMessage({ kind: "error", text: error.message });
  }
};

// Greedy and beam search over words, by the rules of search/batches.py. A hypothesis is a chain of its
// last word, what it looked at, and the hypothesis that it extends.

const LENGTH_CAP = 250; // words of a translation at most, `eos` included

function lengthLimit(source) {
  return Math.min(Math.floor(source.length * 2) + 10, LENGTH_CAP);
}

// Always takes the most probable word.
function greedySearch(model, source) {
  let { sentence, state } = model.start(source);
  const limit = lengthLimit(source);
  const tokens = [], attention = [];
  for (let token = BOS, length = 1; length < limit; length++) {
    const next = model.step(token, sentence, state);
    state = next.state;
    token = best(next.logits);
    if (token === EOS) break;
    tokens.push(token);
    attention.push(next.attention);
  }
  return [{ tokens, attention }];
}

// The largest logit; PAD and BOS are never chosen.
function best(logits) {
  let token = UNK;
  for (let word = EOS; word < logits.length; word++) if (logits[word] > logits[token]) token = word;
  return token;
}

// Returns the `nBest` most probable translations that a beam of this width finds, best first.
function beamSearch(model, source, beam, nBest) {
  const { sentence, state } = model.start(source);
  const limit = lengthLimit(source);
  let live = [{ score: 0, token: BOS, parent: null, state }];
  let ended = [];
  for (let length = 1; live.length; length++) {
    for (const hypothesis of live) extend(model, sentence, hypothesis);
    // Twice the beam, because at most one word of each hypothesis is `eos`.
    const candidates = length < limit ? expand(live, 2 * beam) : closeAll(live);
    ended.push(...candidates.slice(0, beam).filter(({ token }) => token === EOS));
    ended = ended.sort((a, b) => b.score - a.score).slice(0, nBest); // stable: the earlier first
    for (const hypothesis of live) hypothesis.logits = null; // no longer needed
    live = candidates.filter(({ token }) => token !== EOS).slice(0, beam);
    // Scores only fall: nothing that is still live can overtake.
    if (ended.length === nBest && live.length && ended.at(-1).score >= live[0].score) break;
  }
  return ended.map(readBack);
}

// Adds to a hypothesis what follows it: logits, normalisation, attention and state.
function extend(model, sentence, hypothesis) {
  const { logits, attention, state } = model.step(hypothesis.token, sentence, hypothesis.state);
  let top = -Infinity, sum = 0;
  for (let word = 0; word < logits.length; word++) if (logits[word] > top) top = logits[word];
  for (let word = 0; word < logits.length; word++) sum += Math.exp(logits[word] - top);
  const base = fround(hypothesis.score - fround(Math.log(sum) + top));
  Object.assign(hypothesis, { logits, attention, base, state });
}

function extension(parent, token) {
  const score = fround(parent.logits[token] + parent.base);
  return { score, token, parent, state: parent.state };
}

// The best extensions, best first; of equals that of higher rank, then the lower word id.
function expand(live, count) {
  const found = [];
  for (const parent of live) {
    for (let word = UNK; word < parent.logits.length; word++) {
      if (word === BOS) continue;
      const score = fround(parent.logits[word] + parent.base);
      if (found.length === count && score <= found[count - 1].score) continue;
      let place = found.length;
      while (place && found[place - 1].score < score) place--;
      found.splice(place, 0, extension(parent, word));
      if (found.length > count) found.pop();
    }
  }
  return found;
}

// At the length limit all must end.
function closeAll(live) {
  return live.map((parent) => extension(parent, EOS)).sort((a, b) => b.score - a.score);
}

function readBack({ score, parent: last }) {
  const tokens = [], attention = [];
  for (let each = last; each.parent; each = each.parent) {
    tokens.unshift(each.token);
    attention.unshift(each.parent.attention);
  }
  return { tokens, attention, logProb: score };
}

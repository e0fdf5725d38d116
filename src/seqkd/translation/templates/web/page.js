"use strict";
// The page: sends what is typed to the worker, shows what comes back, and what the model looked at.

const SHOW_MS = 120; // between two looks at a long translation that is under way
const SPEED_MS = 1500; // that a measurement of speed takes
const ENOUGH_MS = 300; // of a translation, for its speed to say something
const byId = (id) => document.getElementById(id);
const source = byId("source"), target = byId("target"), search = byId("search");
const languages = { source: locale(source.lang), target: locale(target.lang) };
const BETWEEN = /^(ja|yue|zh)\b/.test(languages.target) ? "" : " "; // two sentences

// A language as browsers write it; `und` if they do not know it.
function locale(code) {
  try {
    return Intl.getCanonicalLocales(code.replaceAll("_", "-"))[0];
  } catch {
    return "und";
  }
}

// ---------------------------------------------------------------------------- the worker

const worker = new Worker(
  URL.createObjectURL(new Blob([byId("translator").textContent], { type: "text/javascript" })));
const requests = new Map(); // number -> what to do with its answers
let requested = 0;

worker.onmessage = ({ data }) => {
  if (data.kind === "ready") start();
  else if (data.kind === "error") fail(data.text);
  else requests.get(data.id)?.(data);
};
worker.onerror = (event) => fail(event.message);
worker.postMessage({ model: byId("model").textContent.trim() });

function request(lines, options, answer) {
  const id = ++requested;
  requests.clear(); // only the newest counts
  requests.set(id, answer);
  worker.postMessage({ id, lines, split: true, beam: 1, nBest: 1, ...options });
}

// Translates lines, each as one sentence; for tests and for the console.
function translateLines(lines, options = {}) {
  return new Promise((resolve) => {
    const texts = [];
    request(lines, { split: false, ...options }, (answer) => {
      if (answer.kind === "sentence") texts.push(answer.found.hypotheses[0].text);
      if (answer.kind === "done") resolve({ texts, words: answer.words, milliseconds: answer.milliseconds });
    });
  });
}

// ---------------------------------------------------------------------------- translating live

function chosen() {
  const [beam, nBest] = search.value.split(" ").map(Number);
  return { beam, nBest };
}

function start() {
  say("");
  byId("measure").disabled = false;
  source.addEventListener("input", translate);
  search.addEventListener("change", translate);
  translate();
  document.body.dataset.ready = "yes";
}

function translate() {
  let plan = [], found = [], shown = performance.now();
  target.setAttribute("aria-busy", "true");
  request(source.value.split("\n"), chosen(), (answer) => {
    if (answer.kind === "plan") plan = answer.plan;
    if (answer.kind === "sentence") found[answer.index] = answer.found;
    const isDone = answer.kind === "done";
    if (!isDone && performance.now() - shown < SHOW_MS) return;
    shown = performance.now();
    show(plan, found);
    if (isDone) finish(found, answer);
  });
}

function finish(found, { words, milliseconds }) {
  target.setAttribute("aria-busy", "false");
  const isCut = found.some((each) => each.isCut);
  const notes = isCut ? ["A sentence is too long: its end is not translated."] : [];
  if (milliseconds > ENOUGH_MS) notes.unshift(rate(words, milliseconds));
  say(notes.join(" "));
}

function rate(words, milliseconds) {
  const speed = Math.round((1000 * words) / milliseconds).toLocaleString("en");
  return `${speed} words per second on this device.`;
}

function say(text) {
  byId("state").textContent = text;
}

function fail(text) {
  say(text);
  byId("state").classList.add("wrong");
}

// ---------------------------------------------------------------------------- showing translations

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function show(plan, found) {
  let index = 0;
  const lines = plan.map((sentences) => {
    const line = element("div", { className: "line" });
    for (const _ of sentences) {
      const each = found[index++];
      line.append(...(each ? [sentenceOf(each), BETWEEN] : ["… "]));
    }
    return line;
  });
  target.replaceChildren(...lines);
  target.querySelector(".word")?.setAttribute("tabindex", "0");
  look(null);
}

function sentenceOf(found) {
  const [best, ...others] = found.hypotheses;
  const sentence = element("span", { className: "sentence" }, ...wordsOf(found, best));
  if (others.length === 0) return sentence;
  const list = element("ol", { className: "others" });
  for (const other of found.hypotheses) {
    const share = `${(100 * Math.exp(other.logProb)).toPrecision(2)} %`;
    list.append(element("li", {}, other.text, " ", element("span", { className: "share" }, share)));
  }
  sentence.append(list);
  return sentence;
}

// The words of a translation, each of which knows what it looked at.
function* wordsOf(found, hypothesis) {
  const text = hypothesis.text, sources = cut(found.text, languages.source);
  for (const { start, end, isWord } of cut(text, languages.target)) {
    const part = text.slice(start, end);
    if (!isWord) {
      yield part;
      continue;
    }
    const word = element("span", { className: "word", textContent: part });
    word.tabIndex = -1;
    word.setAttribute("role", "button");
    word.alignment = () => ({ part, text: found.text, sources: weigh(start, end, found, hypothesis, sources) });
    yield word;
  }
}

// Cuts a text into words and what is between them, by the rules of its language.
function cut(text, language) {
  if (!("Segmenter" in Intl)) {
    return [...text.matchAll(/\S+|\s+/g)].map(([part], place, all) =>
      ({ start: all[place].index, end: all[place].index + part.length, isWord: part.trim() !== "" }));
  }
  return [...new Intl.Segmenter(language, { granularity: "word" }).segment(text)].map(
    ({ segment, index, isWordLike }) =>
      ({ start: index, end: index + segment.length, isWord: isWordLike }));
}

// Attention from a word of the translation to each part of the source: the mean over its tokens.
function weigh(start, end, found, hypothesis, sources) {
  const tokens = hypothesis.spans.flatMap(([from, to], t) => (from < end && to > start ? [t] : []));
  return sources.map((part) => {
    let weight = 0;
    found.spans.forEach(([from, to], s) => {
      const share = Math.max(0, Math.min(to, part.end) - Math.max(from, part.start)) / (to - from || 1);
      for (const t of tokens) weight += (share * (hypothesis.attention[t][s] ?? 0)) / tokens.length;
    });
    return { ...part, weight };
  });
}

// ---------------------------------------------------------------------------- looking at a word

const looked = byId("looked"), hint = looked.textContent;

function look(word) {
  target.querySelectorAll(".word.on").forEach((each) => each.classList.remove("on"));
  if (!word) return looked.replaceChildren(hint);
  word.classList.add("on");
  const { part, text, sources } = word.alignment();
  const strongest = sources
    .filter(({ isWord, weight }) => isWord && weight >= 0.1)
    .sort((a, b) => b.weight - a.weight)
    // Isolated, as a word that is written from the right would take its percentage to its other side.
    .map(({ start, end, weight }) =>
      `\u2068${text.slice(start, end)}\u2069 ${Math.round(100 * weight)} %`);
  const marks = sources.map(({ start, end, weight }) => {
    const mark = element("span", { textContent: text.slice(start, end) });
    mark.style.setProperty("--weight", `${Math.round(60 * Math.min(1, weight))}%`);
    return mark;
  });
  const sentence = element("p", { className: "shades", lang: languages.source, dir: source.dir }, ...marks);
  sentence.setAttribute("aria-hidden", "true");
  const summary = element("p", {}, element("b", { lang: languages.target, dir: "auto" }, part),
    ` looked at ${strongest.join(", ") || "no single word"}`);
  return looked.replaceChildren(sentence, summary);
}

const wordAt = (event) => event.target.closest?.(".word") ?? null;
target.addEventListener("pointerover", (event) => wordAt(event) && look(wordAt(event)));
target.addEventListener("click", (event) => wordAt(event)?.focus());
target.addEventListener("focusin", (event) => {
  target.querySelectorAll(".word[tabindex='0']").forEach((each) => (each.tabIndex = -1));
  event.target.tabIndex = 0;
  look(wordAt(event));
});
target.addEventListener("keydown", (event) => {
  const words = [...target.querySelectorAll(".word")];
  const forwards = target.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
  const backwards = target.dir === "rtl" ? "ArrowRight" : "ArrowLeft";
  const step = { [forwards]: 1, [backwards]: -1 }[event.key];
  if (!step) return;
  words[words.indexOf(event.target) + step]?.focus();
  event.preventDefault();
});

// ---------------------------------------------------------------------------- copying, speed, names

byId("copy").addEventListener("click", async () => {
  const lines = [...target.querySelectorAll(".line")].map((line) =>
    [...line.querySelectorAll(".sentence")].map((each) => {
      const alone = each.cloneNode(true);
      alone.querySelector(".others")?.remove();
      return alone.textContent;
    }).join(BETWEEN));
  try {
    await navigator.clipboard.writeText(lines.join("\n"));
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(target); // a browser may forbid it to a file
    say("The translation is selected; press Ctrl+C (⌘C on a Mac).");
  }
});

byId("measure").addEventListener("click", async () => {
  if (!source.value.trim()) return say("Type some text first.");
  say("Measuring …");
  let words = 0, milliseconds = 0;
  while (milliseconds < SPEED_MS) {
    const options = { ...chosen(), split: true, fresh: true };
    const found = await translateLines(source.value.split("\n"), options);
    if (!found.words) return say("Type some text first."); // invisible characters
    words += found.words;
    milliseconds += found.milliseconds;
  }
  say(rate(words, milliseconds));
});

if ("DisplayNames" in Intl) {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  for (const each of document.querySelectorAll("[data-language]")) {
    each.textContent = names.of(locale(each.dataset.language));
  }
}

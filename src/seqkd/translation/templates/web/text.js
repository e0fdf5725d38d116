// Text before and after the model, as in text.py and sentences.py.

const CONTROL = /[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]/g;
const INVISIBLE =
  /[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]/g;
const LONE_SURROGATE = /[\ud800-\udfff]/gu;
const WORD_MARK = "\u2581"; // sentencepiece's mark of a space
const SPACES =
  /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

// Unicode's NFC, no control or invisible characters, single spaces.
function normalise(line) {
  return line
    .replace(CONTROL, " ")
    .replace(INVISIBLE, "")
    .replace(LONE_SURROGATE, "\ufffd")
    .replaceAll(WORD_MARK, " ")
    .normalize("NFC")
    .replace(SPACES, " ")
    .replace(/^ | $/g, "");
}

// Scripts without spaces between words: Han, and those that spell (kana, Thai, Lao, Myanmar, Khmer).
const HAN = "\\u3005-\\u3007\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}";
const SPELLING =
  "\\u3040-\\u3098\\u309b-\\u30ff\\u0e01-\\u0e30\\u0e32\\u0e33\\u0e40-\\u0e46\\u0e81-\\u0eb0\\u0eb2" +
  "\\u0eb3\\u0ebd-\\u0ec6\\u0edc-\\u0edf\\u1000-\\u102a\\u103f\\u1050-\\u1055\\u105a-\\u105d\\u1061" +
  "\\u1065\\u1066\\u106e-\\u1070\\u1075-\\u1081\\u108e\\u1780-\\u17b3\\u17d7\\u17dc";
const MARKS = "\\p{M}\\u200c\\u200d"; // and the joiners: they shape letters
const WORDS_OF_HAN = 0.55, WORDS_OF_SPELLING = 0.27; // for each character

// Words of a line of single spaces, those of scripts without spaces estimated from their characters.
function runningWords(line) {
  const count = (characters) => (line.match(new RegExp(`[${characters}]`, "gu")) || []).length;
  const words = WORDS_OF_HAN * count(HAN) + WORDS_OF_SPELLING * count(SPELLING);
  const unspaced = new RegExp(`(?:[${HAN}${SPELLING}][${MARKS}]*)+`, "gu");
  const spaced = words ? line.replace(unspaced, " ") : line;
  return spaced.split(/[ \u0f0b\u0f0c]/).filter(Boolean).length + words; // Tibetan has tshegs
}

const ABBREVIATION = new RegExp(
  "^(approx|bijv|bzgl|bzw|ca|d\\.h|dr|e\\.g|ej|etc|evtl|ex|ggf|i\\.e|incl|inkl|max|min|mind|no|nr" +
    "|p\\.e|p\\.ex|resp|sog|st|u\\.a|usw|vgl|vs|z\\.b)\\.$",
);
const SHORT = /^[^\p{L}\p{N}_]*(?:[\p{L}\p{N}_]|\p{Nd}{1,2})\.$/u; // initials and ordinals
const END = /[.!?\u2026\u061f\u06d4\u0589\u0964\u0965\u104b\u17d4\u0f0d\u1362]["'\u201c\u201d\u00bb\u2019)\]]*$/;
// In Chinese and Japanese a stop ends a sentence without a space after it.
const FULLWIDTH_END = /[\u3002\uff01\uff1f\uff61]+["'\u201c\u201d\u00bb\u2019)\]\u300d\u300f\uff09]*/g;
const START = /^(?:["'\u201e\u201c\u00ab([\u00bf\u00a1{]*[\p{L}\p{Nl}\p{No}]|\{)/u;

// Cuts a line of single spaces at each stop before a capital, unless it ends an abbreviation.
function splitSentences(line) {
  return line.replace(FULLWIDTH_END, "$&\n").split("\n").flatMap(splitAtSpaces);
}

function splitAtSpaces(line) {
  const sentences = [];
  let words = [];
  const tokens = line.split(" ").filter(Boolean);
  tokens.forEach((word, place) => {
    words.push(word);
    const following = tokens[place + 1];
    if (following === undefined || endsSentence(word, following)) {
      sentences.push(words.join(" "));
      words = [];
    }
  });
  return sentences;
}

function endsSentence(word, following) {
  if (!END.test(word) || !START.test(following)) return false;
  const first = following.match(/\p{L}/u);
  if (first && /\p{Lowercase}/u.test(first[0]) && !following.startsWith("{")) return false;
  const bare = word.toLowerCase().replace(/^[(["'\u201e\u201c\u00ab]+/, "");
  return !ABBREVIATION.test(bare) && !SHORT.test(word);
}

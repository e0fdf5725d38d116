// Text before and after the model, as in text.py and sentences.py.

const CONTROL = /[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]/g;
const INVISIBLE =
  /[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]/g;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
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

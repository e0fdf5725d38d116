"""Write smoke.de and smoke.en: sentences of a small grammar, made for the tests.

The grammar has what makes German-English more than word for word: separable verbs, the verb at the
end of subordinate clauses, participles and infinitives at the end, inversion after a time, case and
gender on determiners and adjectives. Run `python tests/data/smoke/make.py` after a change.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

PAIRS = 1900
SEED = 2016

# German, gender, English.
PEOPLE = [
    ("Lehrer", "m", "teacher"),
    ("Bäcker", "m", "baker"),
    ("Vater", "m", "father"),
    ("Gärtner", "m", "gardener"),
    ("Ärztin", "f", "doctor"),
    ("Köchin", "f", "cook"),
    ("Schwester", "f", "sister"),
    ("Sängerin", "f", "singer"),
    ("Kind", "n", "child"),
    ("Mädchen", "n", "girl"),
]
ROOMS = [("Küche", "f", "kitchen"), ("Zimmer", "n", "room"), ("Keller", "m", "cellar")]
OPENINGS = [("Tür", "f", "door"), ("Fenster", "n", "window"), ("Koffer", "m", "suitcase")]
TEXTS = [("Buch", "n", "book"), ("Brief", "m", "letter"), ("Zeitung", "f", "newspaper")]
GOODS = [
    ("Lampe", "f", "lamp"),
    ("Fahrrad", "n", "bicycle"),
    ("Hut", "m", "hat"),
    ("Tasse", "f", "cup"),
    ("Hemd", "n", "shirt"),
    ("Apfel", "m", "apple"),
]
SIGHTS = [("Vogel", "m", "bird"), ("Schiff", "n", "ship"), ("Brücke", "f", "bridge")]


@dataclass(frozen=True)
class Verb:
    """A transitive verb: German stem forms and English forms, and what it can act on."""

    infinitive: str
    present: str
    participle: str
    prefix: str
    base: str
    third: str
    past: str
    objects: list[tuple[str, str, str]]


VERBS = [
    Verb("machen", "macht", "gemacht", "auf", "open", "opens", "opened", OPENINGS),
    Verb("machen", "macht", "gemacht", "zu", "close", "closes", "closed", OPENINGS),
    Verb("räumen", "räumt", "geräumt", "auf", "tidy", "tidies", "tidied", ROOMS),
    Verb("rufen", "ruft", "gerufen", "an", "call", "calls", "called", PEOPLE),
    Verb("laden", "lädt", "geladen", "ein", "invite", "invites", "invited", PEOPLE),
    Verb("holen", "holt", "geholt", "ab", "fetch", "fetches", "fetched", GOODS),
    Verb("bringen", "bringt", "gebracht", "mit", "bring", "brings", "brought", GOODS),
    Verb("lesen", "liest", "gelesen", "", "read", "reads", "read", TEXTS),
    Verb("kaufen", "kauft", "gekauft", "", "buy", "buys", "bought", GOODS),
    Verb("suchen", "sucht", "gesucht", "", "look for", "looks for", "looked for", GOODS),
    Verb("malen", "malt", "gemalt", "", "paint", "paints", "painted", SIGHTS),
    Verb("sehen", "sieht", "gesehen", "", "see", "sees", "saw", SIGHTS + PEOPLE),
]
ADJECTIVES = [("alt", "old"), ("klein", "small"), ("neu", "new"), ("rot", "red"), ("schön", "fine")]
NOW = [("heute", "today"), ("jeden Tag", "every day"), ("am Abend", "in the evening")]
PAST = [("gestern", "yesterday"), ("am Montag", "on Monday"), ("letzte Woche", "last week")]
MODALS = [("will", "wants to"), ("muss", "has to"), ("kann", "can"), ("darf", "may")]
CLAUSES = [
    ("Ich weiß, dass", "I know that"),
    ("Wir warten, weil", "We wait because"),
    ("Ich bin froh, wenn", "I am glad when"),
    ("Sie glaubt, dass", "She believes that"),
    ("Er lacht, weil", "He laughs because"),
]
ARTICLES = {
    "definite": {"m": ("der", "den"), "f": ("die", "die"), "n": ("das", "das")},
    "indefinite": {"m": ("ein", "einen"), "f": ("eine", "eine"), "n": ("ein", "ein")},
    "possessive": {"m": ("mein", "meinen"), "f": ("meine", "meine"), "n": ("mein", "mein")},
}
STRONG = {"m": "er", "f": "e", "n": "es"}


def noun_phrase(
    noun: tuple[str, str, str], accusative: bool, adjective: bool, chance: random.Random
) -> tuple[str, str]:
    """Return a noun with determiner and perhaps an adjective, declined."""
    word, gender, english = noun
    kind = chance.choice(["definite", "definite", "definite", "indefinite", "possessive"])
    german = [ARTICLES[kind][gender][accusative]]
    words = [english]
    if adjective:
        stem, meaning = chance.choice(ADJECTIVES)
        if accusative and gender == "m":
            ending = "en"
        else:
            ending = "e" if kind == "definite" else STRONG[gender]
        german.append(stem + ending)
        words.insert(0, meaning)
    article = "an" if words[0][0] in "aeiou" else "a"
    words.insert(0, {"definite": "the", "indefinite": article, "possessive": "my"}[kind])
    return " ".join([*german, word]), " ".join(words)


def sentence(chance: random.Random) -> tuple[str, str]:
    """Return a German sentence and its English translation."""
    verb = chance.choice(VERBS)
    person = chance.choice(PEOPLE)
    thing = chance.choice([x for x in verb.objects if x != person])
    s_de, s_en = noun_phrase(person, False, chance.random() < 0.2, chance)
    o_de, o_en = noun_phrase(thing, True, chance.random() < 0.4, chance)
    now_de, now_en = chance.choice(NOW)
    past_de, past_en = chance.choice(PAST)
    modal_de, modal_en = chance.choice(MODALS)
    clause_de, clause_en = chance.choice(CLAUSES)
    tail = f" {verb.prefix}" if verb.prefix else ""
    whole = verb.prefix + verb.infinitive
    done = verb.prefix + verb.participle
    patterns = [
        (f"{s_de} {verb.present} {o_de}{tail}.", f"{s_en} {verb.third} {o_en}."),
        (f"{s_de} {verb.present} {now_de} {o_de}{tail}.", f"{s_en} {verb.third} {o_en} {now_en}."),
        (f"{now_de} {verb.present} {s_de} {o_de}{tail}.", f"{now_en} {s_en} {verb.third} {o_en}."),
        (f"{s_de} {modal_de} {o_de} {whole}.", f"{s_en} {modal_en} {verb.base} {o_en}."),
        (f"{s_de} hat {o_de} {done}.", f"{s_en} {verb.past} {o_en}."),
        (f"{past_de} hat {s_de} {o_de} {done}.", f"{past_en} {s_en} {verb.past} {o_en}."),
        (f"{verb.present} {s_de} {o_de}{tail}?", f"does {s_en} {verb.base} {o_en}?"),
        (
            f"{clause_de} {s_de} {o_de} {verb.prefix}{verb.present}.",
            f"{clause_en} {s_en} {verb.third} {o_en}.",
        ),
        (
            f"{clause_de} {s_de} {o_de} {done} hat.",
            f"{clause_en} {s_en} {verb.past} {o_en}.",
        ),
    ]
    german, english = chance.choice(patterns)
    return german[0].upper() + german[1:], english[0].upper() + english[1:]


def corpus() -> dict[str, str]:
    """Return German -> English, every German sentence once."""
    chance = random.Random(SEED)
    pairs: dict[str, str] = {}
    while len(pairs) < PAIRS:
        german, english = sentence(chance)
        pairs.setdefault(german, english)
    return pairs


def main() -> None:
    """Write both files beside this one."""
    folder = Path(__file__).parent
    pairs = corpus()
    for name, lines in (("smoke.de", pairs.keys()), ("smoke.en", pairs.values())):
        (folder / name).write_text("".join(f"{x}\n" for x in lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

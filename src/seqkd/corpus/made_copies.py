"""Made lines that are their own translation, so that models learn to copy.

Real corpora hold few numbers, addresses and emoji, and cleaning drops many of those. Firefox's
recipes add such lines too (the noise of OpusTrainer).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

from seqkd.corpus.decontamination import HeldOutIndex
from seqkd.text import Pair

_SEED = 1
_TRIALS = 20
_EMOJI = (
    "😂❤️🤣👍😭🙏😘🥰😍😊🎉😁💕🥺😅🔥☺️🤦🤷🙄😆🤗😉🎂🤔👏🙂😳🥳😎👌💜😔💪"
    "✨💖👀😋😏😢👉💗😩💯🌹💞🎈💙😃😡💐😜🙈🤞😄🤤🙌🤪❣️😀💋💀👇💔😌💓🤩🙃😬"
    "😱😴🤭😐🌞😒😇🌸😈🎶✌️🎊🥵😞💚☀️🖤💰😚👑🎁💥🙋☹️😑🥴👈💩✅🔔🏠💡🔋"
    "🚀⚠️❌🚪🌙"
)
_EMOJIS = re.findall(".\N{VARIATION SELECTOR-16}?", _EMOJI)


def _name(draw: random.Random) -> str:
    """Return a name that no model has read as a word."""
    syllables = draw.randint(2, 4)
    return "".join(draw.choice("bdfghklmnprstvwz") + draw.choice("aeiou") for _ in range(syllables))


def _host(draw: random.Random) -> str:
    domain = draw.choice(("com", "org", "net", "io", "local", "example.org"))
    return f"{_name(draw)}.{domain}"


def _url(draw: random.Random) -> str:
    path = "".join(f"/{_name(draw)}" for _ in range(draw.randint(0, 2)))
    return f"{draw.choice(('http', 'https'))}://{_host(draw)}{path}"


def _digits(draw: random.Random, longest: int) -> str:
    return str(draw.randrange(10 ** draw.randint(1, longest)))


_KINDS: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: _digits(draw, 7),
    lambda draw: f"{_digits(draw, 4)}.{draw.randrange(100):02}",
    lambda draw: f"{draw.randrange(24):02}:{draw.randrange(60):02}",
    lambda draw: (
        f"{draw.randrange(1990, 2040)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
    ),
    lambda draw: f"{draw.randrange(101)}%",
    lambda draw: ".".join(str(draw.randrange(256)) for _ in range(4)),
    lambda draw: draw.choice(("", "v")) + ".".join(_digits(draw, 2) for _ in range(3)),
    lambda draw: f"+{draw.randrange(1, 99)} {_digits(draw, 4)} {draw.randrange(10**5, 10**8)}",
    _url,
    _url,
    lambda draw: f"{_name(draw)}@{_host(draw)}",
    lambda draw: " ".join(draw.choices(_EMOJIS, k=draw.randint(1, 3))),
    lambda draw: "".join(draw.choices(_EMOJIS, k=draw.randint(1, 3))),
    lambda draw: draw.choice(_EMOJIS),
)


def made_copies(pairs: Sequence[Pair], held_out: HeldOutIndex) -> Iterator[Pair]:
    """Yield two pairs for each of `pairs`: something to copy alone, and after the pair itself.

    What repeats held-out text is drawn again; where each trial does, there is one pair less. The
    same pairs give the same lines on every machine.
    """
    draw = random.Random(_SEED)
    for src, tgt in pairs:
        for before_src, before_tgt in (("", ""), (f"{src} ", f"{tgt} ")):
            for _ in range(_TRIALS):
                made = draw.choice(_KINDS)(draw)
                pair = f"{before_src}{made}", f"{before_tgt}{made}"
                matches = held_out.search(pair)
                if not matches.exact and not matches.near:
                    yield pair
                    break

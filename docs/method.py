"""Draws the method of Kim & Rush (2016) for the pages: python docs/method.py > docs/method.svg.

Colours are those of the rule graph: text blue, models orange, what a teacher says green; the four
terms that a student can learn from are purple.
"""

from __future__ import annotations

from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LINE = 1060, 372, 19
MINUS = "\N{MINUS SIGN}"
TEXT, MODEL, TEACHING, TERM = "#a6cee3", "#fdbf6f", "#b2df8a", "#cab2d6"


class Box(NamedTuple):
    """A box with a title and lines of text; x and y are of its upper left corner."""

    x: int
    y: int
    width: int
    height: int
    colour: str
    lines: tuple[str, ...]

    @property
    def middle(self) -> int:
        """The height at which straight arrows enter and leave."""
        return self.y + self.height // 2

    @property
    def right(self) -> int:
        """The right edge."""
        return self.x + self.width


TRAINING_TEXT = Box(10, 133, 150, 66, TEXT, ("Training text", "source s, reference y"))
TEACHER = Box(200, 133, 140, 66, MODEL, ("Teacher q", "trained on y"))
N_BEST = Box(380, 133, 160, 66, TEACHING, ("n-best list", "beam search on s"))
TERMS = (
    Box(600, 8, 270, 78, TERM, ("Baseline", "y: the reference", f"{MINUS}log p(y | s)")),
    Box(600, 100, 270, 78, TERM, ("Seq-KD", "ŷ: the most probable of 5", f"{MINUS}log p(ŷ | s)")),
    Box(
        600, 192, 270, 78, TERM,
        ("Seq-Inter", "ỹ: the most similar to y of 35", f"{MINUS}log p(ỹ | s), as fine-tuning"),
    ),
    Box(
        600, 284, 270, 78, TERM,
        (
            "Word-KD",
            "all words v, at each position of y, ŷ or ỹ",
            f"{MINUS}Σ q(v | s, t<j) log p(v | s, t<j)",
        ),
    ),
)  # fmt: skip
STUDENT = Box(930, 133, 120, 66, MODEL, ("Student p", "one term or more"))

# Grey lines and filled boxes are legible on a white page and on a dark one.
HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"
  font-family="Helvetica,Arial,sans-serif" font-size="14" text-anchor="middle" fill="#1b1f24">
<title>From the teacher to the student: Baseline, Seq-KD, Seq-Inter and Word-KD</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
  orient="auto" markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z" fill="#8b949e"/></marker>
</defs>
<g fill="none" stroke="#8b949e" stroke-width="1.6">"""

COMPARED = '<text x="430" y="250" fill="#768390">compares the list with y</text>'
BOLD = ' font-weight="bold" font-size="15"'


def arrow(*points: tuple[int, int], dashed: bool = False) -> str:
    """Return a line through the points, with a tip at its end."""
    path = "L".join(f"{x} {y}" for x, y in points)
    style = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M{path}"{style} marker-end="url(#tip)"/>'


def arrows() -> list[str]:
    """Return what leads from box to box."""
    baseline, seq_kd, seq_inter, word_kd = TERMS
    row, fork = TEACHER.middle, N_BEST.right + 30
    over, under = TRAINING_TEXT.x + 75, TEACHER.x + 70
    return [
        arrow((TRAINING_TEXT.right, row), (TEACHER.x, row)),
        arrow((TEACHER.right, row), (N_BEST.x, row)),
        arrow((over, TRAINING_TEXT.y), (over, baseline.middle), (baseline.x, baseline.middle)),
        *(
            arrow((N_BEST.right, row), (fork, row), (fork, end.middle), (end.x, end.middle))
            for end in (seq_kd, seq_inter)
        ),
        arrow(
            (over, TRAINING_TEXT.y + TRAINING_TEXT.height),
            (over, seq_inter.middle + 24),
            (seq_inter.x, seq_inter.middle + 24),
            dashed=True,
        ),
        arrow(
            (under, TEACHER.y + TEACHER.height),
            (under, word_kd.middle),
            (word_kd.x, word_kd.middle),
        ),
        *(
            arrow((term.right, term.middle), (STUDENT.x, STUDENT.middle + 12 * place - 18))
            for place, term in enumerate(TERMS)
        ),
    ]


def drawn(box: Box) -> str:
    """Return a box with its text; the first line is bold."""
    x, first = box.x + box.width // 2, box.middle - LINE * (len(box.lines) - 1) // 2 + 5
    lines = [
        f'<text x="{x}" y="{first + LINE * number}"{"" if number else BOLD}>{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    ]
    rectangle = (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8"'
        f' fill="{box.colour}" stroke="#57606a"/>'
    )
    return "\n".join([rectangle, *lines])


def svg() -> str:
    """Return the whole picture."""
    boxes = map(drawn, (TRAINING_TEXT, TEACHER, N_BEST, *TERMS, STUDENT))
    return "\n".join([HEAD, *arrows(), "</g>", COMPARED, *boxes, "</svg>"])


if __name__ == "__main__":
    print(svg())

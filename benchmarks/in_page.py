"""Words a second of models natively and in their pages: one sentence at a time, greedy, one thread.

    python benchmarks/in_page.py TEXT MODEL [MODEL ...]

Both compute in int8. The browser's CPU throttling, a stand-in for phones, does not reach workers,
so the page's programs run in its main thread here. Words are the source's, seconds are CPU time:
that counts what throttling burns, and a busy machine does little harm. Median (low to high) over
rounds, in which all take turns. Needs Chromium.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import seqkd
from seqkd import cli
from seqkd.text import running_words

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
from browser import CHROMIUM, Browser

RATES = (1, 4, 6)
# The programs of the page's worker, in the main thread, whose `onmessage` is the window's.
LOAD = """
const code = document.getElementById("translator").textContent;
const script = document.createElement("script");
script.textContent = `globalThis.here = (() => {
  ${code.replace(/^onmessage =/m, "const unused =")}
  return new Translator(document.getElementById("model").textContent.trim()); })()`;
document.body.append(script);
"""


class Model:
    """A model exported both ways, in a folder of its own."""

    def __init__(self, path: Path, lines: list[str], folder: Path, browser: Browser) -> None:
        self._lines, self._browser, self._page = lines, browser, folder / "translate.html"
        arguments = ["export", str(path), str(folder / "int8"), "--format", "int8"]
        cli.main([*arguments, "--web", str(self._page)])
        self._native = seqkd.load(folder / "int8", device="cpu")
        self.native()  # loads what is loaded once
        self.name = self._native.info.model
        self.size = self._page.stat().st_size

    def native(self) -> float:
        """Return CPU seconds of `seqkd.load`."""
        start = time.process_time()
        for line in self._lines:
            self._native.translate([line], beam=1)
        return time.process_time() - start

    def in_page(self) -> list[float]:
        """Return CPU seconds of the page for each of `RATES`."""
        self._browser.open(self._page, 1400)
        self._browser.call("Performance.enable", timeDomain="threadTicks")
        self._browser.evaluate(f"(() => {{{LOAD}}})()")
        self._translate()  # the browser compiles what runs often
        seconds = []
        for rate in RATES:
            self._browser.call("Emulation.setCPUThrottlingRate", rate=rate)
            start = self._thread_time()
            self._translate()
            seconds.append(self._thread_time() - start)
        self._browser.call("Emulation.setCPUThrottlingRate", rate=1)
        return seconds

    def _translate(self) -> None:
        lines = json.dumps(self._lines)
        self._browser.evaluate(f"{lines}.forEach((line) => here.translate(line, 1, 1))")

    def _thread_time(self) -> float:
        metrics = self._browser.call("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "ThreadTime")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, help="sources, one sentence a line")
    parser.add_argument("models", type=Path, nargs="+", help="model files")
    parser.add_argument("--sentences", type=int, default=50, help="of the text (default: 50)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("no Chromium (Debian: apt-get install chromium)")
    lines = args.text.read_text(encoding="utf-8").splitlines()[: args.sentences]
    words = round(sum(map(running_words, lines)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with Browser(folder / "profile", seconds=3600) as browser:
            models = []
            for number, path in enumerate(args.models):
                (folder / str(number)).mkdir()
                models.append(Model(path, lines, folder / str(number), browser))
            product = browser.call("Browser.getVersion")["product"]
            runs = [
                {model.name: [model.native(), *model.in_page()] for model in models}
                for _ in range(args.rounds)
            ]
    print(f"{product}, {len(lines)} sentences, {words} words, words per CPU second\n")
    print(
        "| model | page, MB | native | page | "
        + " | ".join(f"{x}x slower" for x in RATES[1:])
        + " |"
    )
    print("| --- |" + " ---: |" * (3 + len(RATES) - 1))
    for model in models:
        columns = zip(*(run[model.name] for run in runs), strict=True)
        print(
            f"| {model.name} | {model.size / 1e6:.1f} | "
            + " | ".join(_cell(words, x) for x in columns)
            + " |"
        )


def _cell(words: int, seconds: tuple[float, ...]) -> str:
    rates = [words / each for each in seconds]
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


if __name__ == "__main__":
    main()

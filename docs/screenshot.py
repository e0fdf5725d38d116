"""Write the screenshot of a report that the README shows; needs Chromium.

    make screenshot EXPERIMENT=home-assistant  of results/home-assistant/report.html
    make screenshot EXPERIMENT=multi30k        of results/multi30k/report.html

The browser has no network. 256 colours keep the file small.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
from browser import CHROMIUM, Browser

WIDTH, HEIGHT = 1200, 1280


def main(report: str, picture: str) -> None:
    """Take a screenshot of the top of a report.

    Args:
        report: the HTML file.
        picture: the PNG file that is written.
    """
    if CHROMIUM is None:
        raise SystemExit("no Chromium (Debian: apt-get install chromium)")
    if not Path(report).is_file():
        raise SystemExit(f"{report} does not exist; run the experiment first: make run")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "report.png"
        with Browser(Path(folder) / "profile") as browser:
            browser.open(Path(report), WIDTH, HEIGHT)
            browser.screenshot(raw, whole=False)
        with Image.open(raw) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                picture, optimize=True
            )
    print(f"{picture}: {Path(picture).stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""``make screenshots``: the pictures of the README, taken from a served run with Chromium.

python -m tests.screenshots [RUN]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.conftest import serve
from xda.settings import Settings

TARGET = Path(__file__).parents[1] / "static" / "screenshots"
PICTURES = {"explanation": "/r/{run}/test/{test}", "pair": "/r/{run}/test/{test}/train/{train}", "gallery": "/r/{run}"}
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(run: Path) -> None:
    """Take every picture at 1440 x 900."""
    from xda.explanation.gallery import GalleryFilter
    from xda.explanation.run import Explainer

    TARGET.mkdir(parents=True, exist_ok=True)
    with Explainer.open(run, device="cpu") as explainer:
        # The README shows a t-shirt that the network takes for a dress: the one with the highest confidence.
        label, predicted = explainer.classes.index("t-shirt"), explainer.classes.index("dress")
        found = explainer.gallery(GalleryFilter(label=label, predicted=predicted), order="-margin", limit=1)
        test = found.items[0].index
        strongest = explainer.explain(test, against=label).supporting[0]
        names = {"run": explainer.id, "test": test, "train": strongest.index}
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=CHROMIUM_ARGUMENTS
        )
        for url in serve(Settings(home=Path(home), runs=str(run), device="cpu")):
            page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
            for name, path in PICTURES.items():
                page.goto(url + path.format(**names))
                page.wait_for_load_state("networkidle")
                while page.evaluate("document.documentElement.dataset.maps") == "waiting":
                    page.wait_for_timeout(100)
                page.screenshot(path=TARGET / f"{name}.png")
                print(TARGET / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/clothing-efficientnet-lite0"))

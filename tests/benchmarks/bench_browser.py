"""Times a step from image to image in a real browser: from the key press to new content, and to all heat-maps.

    python -m tests.benchmarks.bench_browser [RUN …]        RUN: run folders; default MNIST's and others' in runs/

Each run is served from an empty home folder, so no heat-map is cached. A headless Chromium (``CHROMIUM`` names another)
presses the right arrow; the page itself takes the times, from the key event to the frame after the change:

* content: the heading of the next test image is painted;
* maps: the pictures above the fold and all heat-maps that the page requests are painted.

*cold*: the browser is never idle, so nothing is fetched ahead. *ahead*: the reader looks at each page until it has
fetched the next one. Medians over ``STEPS`` steps, each to another test image; beside them the server's part: how long
the page's request took, and when the last map had arrived.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, Request, sync_playwright
from tests.benchmarks.bench_lighthouse import serving

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
STEPS = 24
UNCOUNTED = 3
"""So many first steps warm up the browser."""
CONTENT, AHEAD = 60.0, 150.0
"""Targets in milliseconds: new content, cold; all heat-maps, fetched ahead."""
MAPS = {"mnist": 300.0, "cifar10": 800.0, "clothing": 2500.0}
"""Target for all heat-maps, cold, by the beginning of a run folder's name; by default all such folders in runs/."""
QUIET = 0.7
"""After so many seconds without a request, the page has fetched ahead what it wants."""

WATCH = """() => {
  const heading = document.querySelector("h1").textContent;
  performance.clearResourceTimings();
  window.step = new Promise((resolve) => {
    let pressed = 0;
    addEventListener("keydown", (event) => { pressed = event.timeStamp; }, { capture: true, once: true });
    // A message that is posted in a frame arrives after its paint.
    const painted = (then) => requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = then;
      port2.postMessage(0);
    });
    const complete = () => {
      const pictures = [...document.querySelectorAll("#page img:not([loading=lazy])")];
      return document.documentElement.dataset.maps !== "waiting" && pictures.every((picture) => picture.complete);
    };
    const content = performance.now.bind(performance);
    const maps = (times) => {
      if (!complete()) { requestAnimationFrame(() => maps(times)); return; }
      painted(() => {
        const requests = performance.getEntriesByType("resource");
        const page = requests.find((entry) => new URL(entry.name).pathname === location.pathname);
        const files = requests.filter((entry) => entry.name.includes("/relevance/"));
        const arrived = files.map((entry) => entry.responseEnd);
        resolve({
          ...times,
          maps: content() - pressed,
          page: page ? page.duration : 0,
          arrived: arrived.length ? Math.max(...arrived) - pressed : 0,
        });
      });
    };
    const observer = new MutationObserver(() => {
      const now = document.querySelector("h1")?.textContent;
      if (!now || now === heading) return;
      observer.disconnect();
      painted(() => maps({ content: content() - pressed }));
    });
    observer.observe(document.body, { childList: true, subtree: true, characterData: true });
  });
}"""
NEVER_IDLE = "window.requestIdleCallback = () => 0;"


@dataclass(frozen=True, slots=True)
class Step:
    """The times of one step, in milliseconds after the key press; ``page`` is a duration."""

    content: float
    maps: float
    page: float
    arrived: float


class Traffic:
    """The requests of a page, and when the last one began or ended."""

    def __init__(self, page: Page) -> None:
        self.count = 0
        self.last = time.perf_counter()
        page.on("request", self._seen)
        page.on("requestfinished", self._changed)
        page.on("requestfailed", self._changed)

    def _seen(self, request: Request) -> None:
        self.count += 1
        self._changed(request)

    def _changed(self, _: Request) -> None:
        self.last = time.perf_counter()

    def settle(self, page: Page) -> None:
        """Wait until the page is quiet."""
        while (left := self.last + QUIET - time.perf_counter()) > 0:
            page.wait_for_timeout(1000 * left + 1)


def walk(browser: Browser, base: str, run: str, start: int, *, ahead: bool) -> tuple[list[Step], int]:
    """Step through ``STEPS`` test images.

    Returns
    -------
    steps : list of Step
    fetched : int
        Requests of the pages between steps, after all their heat-maps were painted.
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=base)
    page = context.new_page()
    page.set_default_timeout(60_000)
    if not ahead:
        page.add_init_script(NEVER_IDLE)
    page.goto(f"/r/{run}/test/{start}")
    page.locator("html:not([data-maps=waiting])").wait_for(state="attached")
    traffic = Traffic(page)
    steps, fetched = [], 0
    for _ in range(UNCOUNTED + STEPS):
        before = traffic.count
        if ahead:
            traffic.settle(page)
        fetched += traffic.count - before
        page.evaluate(WATCH)
        page.keyboard.press("ArrowRight")
        steps.append(Step(**page.evaluate("window.step")))
    context.close()
    return steps[UNCOUNTED:], fetched


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium: that of ``CHROMIUM``, the system's, or Playwright's own."""
    executable = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        path = executable if Path(executable).exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def line(what: str, measured: float, target: float | None = None) -> str:
    """Return one line of the table."""
    verdict = "" if target is None else f"<= {target:5.0f} ms   {'met' if measured <= target else 'MISSED'}"
    return f"  {what:<44} {measured:7.0f} ms   {verdict}".rstrip()


def table(steps: Sequence[Step], content: float | None, maps: float | None) -> list[str]:
    """Return the lines of one walk: medians, with their targets."""
    times: dict[str, float] = {
        name: statistics.median(getattr(step, name) for step in steps) for name in Step.__slots__
    }
    return [
        line("key to new content", times["content"], content),
        line("    of which the page's request", times["page"]),
        line("key to all heat-maps", times["maps"], maps),
        line("    the last one had arrived after", times["arrived"]),
    ]


def measure(browser: Browser, run: Path) -> None:
    """Serve a run, walk through it twice, and print the table."""
    with serving(run) as base:
        (described,) = httpx.get(f"{base}/api/v1/runs", trust_env=False).json()
        steps = UNCOUNTED + STEPS
        # Two walks of different images, the second one after the first.
        start = max(0, described["n_test"] // 2 - steps - 1)
        name: Any = described["id"]
        cold, _ = walk(browser, base, name, start, ahead=False)
        target = next((value for word, value in MAPS.items() if run.resolve().name.startswith(word)), None)
        print(f"{run.resolve().name}, cold", *table(cold, CONTENT, target), sep="\n", flush=True)
        seen, fetched = walk(browser, base, name, start + steps + 1, ahead=True)
        print(f"{run.resolve().name}, ahead ({fetched / steps:.0f} requests a page while it is read)")
        print(*table(seen, CONTENT, AHEAD), sep="\n", flush=True)


def default_runs(folder: Path) -> Iterator[Path]:
    """Yield the run folders with a target; where there is none, the name that it would begin with."""
    for word in MAPS:
        yield from sorted(path.parent for path in folder.glob(f"{word}*/manifest.json")) or [folder / word]


def main() -> int:
    """Measure the runs named on the command line."""
    present = []
    for run in map(Path, sys.argv[1:]) if sys.argv[1:] else default_runs(Path("runs")):
        if (run / "manifest.json").is_file():
            present.append(run)
        else:
            print(f"bench_browser: there is no run folder at {run}; it is skipped.", file=sys.stderr)
    if not present:
        return 2
    with chromium() as browser:
        for run in present:
            measure(browser, run)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The frame of every page: the header with its switches, the title and the description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xda.decision import Split
from xda.numerals import number, parameter
from xda.present.words import c_in_words
from xda.web.urls import Urls, fields
from xda.web.view import Listing, View

if TYPE_CHECKING:
    from xda.explanation.run import Explainer
    from xda.storage.run.manifest import SurrogateEntry
    from xda.web.dependencies import Visit


LARGE = 84
"""Images with longer sides are smoothed."""


class Address(Protocol):
    """Gives the address of the present page with changes."""

    def __call__(self, **changes: object) -> str:
        """Return the address."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a select."""

    value: str
    label: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a switch: a link, marked if it is the present one."""

    label: str
    url: str
    current: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The header's facts about a page's run."""

    id: str
    title: str
    gallery: str
    go_to: str
    n_test: int
    runs: tuple[Choice, ...]
    c_values: tuple[Choice, ...]
    """Switch of C; empty if the page does not depend on C or the run has only one."""
    compare: str | None = None
    """Address of the same test image beside another C or run; None if there is neither."""
    keep: tuple[tuple[str, str], ...] = ()
    """Hidden fields of the form "go to #"."""
    listed_in: Choice | None = None
    """The filtered gallery through which "previous" and "next" step."""
    no_heatmaps: str = ""
    """Reason why the run has no heat-maps; empty if it has them."""
    large_images: bool = False
    """Whether images have more pixels than a thumbnail; they are then smoothed, otherwise their pixels stay sharp."""


@dataclass(frozen=True, slots=True)
class Chrome:
    """Title and header of one page."""

    title: str
    run: RunHeader | None
    description: str
    """One sentence for search engines and previews of links."""


def listing_words(listing: Listing, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the active filters of a listing: their names in the address, and words for each."""
    chosen = listing.choice
    words: list[tuple[str, str]] = []
    if chosen.label is not None:
        words.append(("label", f"label {_name(names, chosen.label)}"))
    if chosen.predicted is not None:
        words.append(("predicted", f"network says {_name(names, chosen.predicted)}"))
    if chosen.correct is not None:
        words.append(("correct", "network is right" if chosen.correct else "network is wrong"))
    if chosen.disagrees is not None:
        words.append(("disagrees", "surrogate disagrees" if chosen.disagrees else "surrogate agrees"))
    if chosen.max_margin is not None:
        words.append(("max_margin", f"margin at most {number(chosen.max_margin)}"))
    return tuple(words)


def _name(names: Sequence[str], k: int) -> str:
    return names[k] if k < len(names) else str(k)


def run_header(
    visit: Visit,
    *,
    c: float | None = None,
    with_c: Callable[[float], str] | None = None,
    keep: Mapping[str, object] | None = None,
    view: View | None = None,
    in_run: Callable[[Explainer], str] | None = None,
    compare: str | None = None,
) -> RunHeader:
    """Describe a run for the header.

    Parameters
    ----------
    visit : Visit
    c : float, optional
        The present C.
    with_c : callable, optional
        Gives this page's address under another C; without it there is no C switch.
    keep : mapping, optional
        Query that "go to #" keeps.
    view : View, optional
        View of a page about one test image; it knows the gallery that leads back.
    in_run : callable, optional
        Gives this page's address in another run over the same data; without it the run switch leads to galleries.
    compare : str, optional
        Address of the comparison of this page's test image.
    """
    explainer, urls = visit.explainer, visit.urls
    data = explainer.run.manifest.dataset.fingerprint

    def switched(run: Explainer) -> str:
        if in_run is None or run.run.manifest.dataset.fingerprint != data:
            return urls.gallery(run.id)
        return in_run(run)

    return RunHeader(
        id=explainer.id,
        title=explainer.title,
        gallery=urls.gallery(explainer.id, None if view is None else view.gallery()),
        go_to=urls.go_to(explainer.id),
        n_test=explainer.n_test,
        runs=tuple(
            Choice(run.title, switched(run), run.id == explainer.id, run.id) for run in visit.catalog.runs.values()
        ),
        c_values=c_choices(explainer.surrogates, c, with_c),
        compare=compare,
        keep=fields(keep or {}),
        listed_in=None if view is None else _listed_in(view, explainer, urls),
        no_heatmaps=explainer.no_heatmaps,
        large_images=_pixels(explainer) > LARGE,
    )


def _listed_in(view: View, explainer: Explainer, urls: Urls) -> Choice | None:
    words = listing_words(view.listing, explainer.classes)
    if not words:
        return None
    query = {"c": view.query()["c"], **view.listing.query()}
    return Choice(", ".join(text for _, text in words), urls.gallery(explainer.id, query))


def _pixels(explainer: Explainer) -> int:
    """Return the longest side of the shown images: the network's input, or a larger original."""
    original = explainer.images.place("test", 0).original if explainer.n_test else (0, 0)
    return max(*explainer.preprocessing.size, *original)


def c_choices(
    entries: Sequence[SurrogateEntry], current: float | None, with_c: Callable[[float], str] | None
) -> tuple[Choice, ...]:
    """Return the C switch, with words for each."""
    if with_c is None:
        return ()
    return tuple(
        Choice(parameter(each.c), with_c(each.c), each.c == current, c_in_words(each, entries)) for each in entries
    )


def origin(source: str | None, split: Split, index: int) -> str:
    """Return the source of an image for a page; empty if it is unknown or only repeats the number."""
    return "" if source is None or source == f"{split}[{index}]" else source

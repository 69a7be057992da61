"""The confusion matrix as filter: links, counts, shades, and the list of the commonest confusions."""

from __future__ import annotations

from xda.explanation.gallery import GalleryFilter
from xda.web.pages.gallery.confusion import MOST_CONFUSIONS, SHADES, confusions, matrix
from xda.web.view import Listing

NAMES = ("cat", "dog", "owl")
CONFUSION = ((8, 4, 0), (1, 9, 0), (0, 0, 0))


def address(**changes: object) -> str:
    return " ".join(f"{name}={value}" for name, value in changes.items())


def test_cells_link_to_their_images_and_empty_ones_nowhere() -> None:
    drawn = matrix(CONFUSION, NAMES, Listing(), address)
    assert [[cell.n for cell in row.cells] for row in drawn.rows] == [["8", "4", "0"], ["1", "9", "0"], ["0", "0", "0"]]
    assert drawn.rows[0].cells[1].url == "label=0 predicted=1"
    assert drawn.rows[0].cells[1].words == "label cat, network says dog: 4 of 12"
    assert drawn.rows[0].cells[2].url is None
    assert [[cell.diagonal for cell in row.cells] for row in drawn.rows][1] == [False, True, False]


def test_shades_count_hits_of_their_label_and_errors_of_the_largest_error() -> None:
    drawn = matrix(CONFUSION, NAMES, Listing(), address)
    shades = [[cell.shade for cell in row.cells] for row in drawn.rows]
    assert shades == [[7, SHADES, 0], [4, 8, 0], [0, 0, 0]]


def test_present_filter_is_marked_and_its_cell_shows_all_again() -> None:
    drawn = matrix(CONFUSION, NAMES, Listing(GalleryFilter(label=0, predicted=1)), address)
    cell = drawn.rows[0].cells[1]
    assert (cell.current, cell.url) == (True, "label=None predicted=None")
    assert cell.words.endswith(": 4 of 12 (shown, click to show all)")
    assert sum(each.current for row in drawn.rows for each in row.cells) == 1
    assert not any(choice.current for choice in (*drawn.columns, *(row.label for row in drawn.rows)))


def test_headers_count_a_whole_row_or_column() -> None:
    drawn = matrix(CONFUSION, NAMES, Listing(GalleryFilter(predicted=1)), address)
    assert [(c.label, c.url, c.current, c.note) for c in drawn.columns] == [
        ("cat", "predicted=0 label=None", False, "9"),
        ("dog", "predicted=None label=None", True, "13"),
        ("owl", "predicted=2 label=None", False, "0"),
    ]
    assert (drawn.rows[0].label.url, drawn.rows[0].label.note) == ("label=0 predicted=None", "12")


def test_confusions_are_the_commonest_errors_first() -> None:
    listed = confusions(CONFUSION, NAMES, Listing(GalleryFilter(label=1, predicted=0)), address)
    assert [(c.label, c.url, c.current, c.note) for c in listed] == [
        ("cat taken for dog", "label=0 predicted=1", False, "4"),
        ("dog taken for cat", "label=1 predicted=0", True, "1"),
    ]
    many = [[1] * 10 for _ in range(10)]
    assert len(confusions(many, [str(k) for k in range(10)], Listing(), address)) == MOST_CONFUSIONS

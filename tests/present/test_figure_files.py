"""Figures as files: three formats of one canvas, for an explanation and for a pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from xda.errors import ConfigError
from xda.explanation.run import Explainer
from xda.present.figure_files import FORMATS, KINDS, Kind, refuse_unwritable, write_explanation, write_pair

STARTS = {"png": b"\x89PNG", "svg": b"<svg ", "pdf": b"%PDF-"}


@pytest.mark.parametrize("kind", KINDS)
def test_write_explanation_gives_the_format_of_its_name(explainer: Explainer, tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / f"why.{kind}"
    write_explanation(explainer, kind, path, explainer.decide(14, target=4, against=9), limit=2)
    assert path.read_bytes().startswith(STARTS[kind])
    assert len(path.read_bytes()) > 5000


@pytest.mark.parametrize("kind", KINDS)
def test_write_pair_gives_the_format_of_its_name(explainer: Explainer, tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / f"pair.{kind}"
    write_pair(explainer, kind, path, explainer.decide(14), 3)
    assert path.read_bytes().startswith(STARTS[kind])
    assert len(path.read_bytes()) > 5000


@pytest.mark.parametrize("kind", FORMATS)
def test_unwritable_file_is_refused_with_its_option(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / f"a.{kind}").mkdir()
    for path, words in (("x.jpg", f"ends in .{kind}"), (f"no/x.{kind}", "does not exist"), (f"a.{kind}", "a folder")):
        with pytest.raises(ConfigError, match=f"--{kind} .*{words}"):
            refuse_unwritable(kind, tmp_path / path)
    refuse_unwritable(kind, tmp_path / f"x.{kind}")

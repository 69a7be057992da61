"""Tables of contributions equal their definition, and both of their sources agree."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.attribution.collection import Explanations
from xda.attribution.decomposition import Decomposition, attributions, contributions
from xda.attribution.ranking import strongest
from xda.attribution.results import Explanation, TestSample
from xda.errors import ConfigError

TARGET, QUERY = 2, 5
COLUMNS = ["index", "label", "attribution", "share", "sign", "at_bound", "intercept"]


@pytest.fixture
def whole() -> Decomposition:
    return make_problem().decompose(QUERY, TARGET)


def listed(limit: int) -> Explanation:
    problem = make_problem()
    rows, weights = problem.support.weights(TARGET)
    values = attributions(weights, problem.products(rows, problem.queries[QUERY]))
    first, last = (strongest(values, limit, sign=sign) for sign in (1, -1))
    return Explanation(
        c=0.5,
        test=TestSample(0, 1, TARGET, (), ()),
        target=TARGET,
        against=None,
        surrogate_logit=float(values.sum()),
        sum_supporting=float(values[values > 0].sum()),
        sum_opposing=float(values[values < 0].sum()),
        n_supporting=int((values > 0).sum()),
        n_opposing=int((values < 0).sum()),
        n_train=problem.support.n_train,
        supporting=contributions(problem.support, rows[first], values[first]),
        opposing=contributions(problem.support, rows[last], values[last]),
    )


def test_table_rows_equal_definition(whole: Decomposition) -> None:
    problem = make_problem()
    frame = whole.to_pandas()
    assert list(frame.columns) == COLUMNS
    tau = np.array(
        [
            dualda.attribution(problem.dual_coef, problem.features, problem.queries[QUERY], i, TARGET)
            for i in range(len(problem.labels))
        ]
    )
    assert set(frame["index"]) == set(np.flatnonzero(tau))
    np.testing.assert_allclose(frame["attribution"], tau[frame["index"]], rtol=1e-12)
    np.testing.assert_allclose(frame["share"], np.abs(tau[frame["index"]]) / np.abs(tau).sum(), rtol=1e-12)
    assert (frame["label"] == problem.labels[frame["index"]]).all()
    assert (frame["sign"] == np.where(tau[frame["index"]] > 0, "supports", "opposes")).all()
    own = problem.dual_coef[frame["index"], problem.labels[frame["index"]]]
    assert (frame["at_bound"] == (own == 0.5)).all()
    assert frame["attribution"].abs().is_monotonic_decreasing


def test_table_complete_sums_to_logit_and_shares_to_one(whole: Decomposition) -> None:
    table = whole.to_arrow()
    assert table["attribution"].to_numpy().sum() == pytest.approx(whole.total, rel=1e-12)
    assert table["share"].to_numpy().sum() == pytest.approx(1.0, rel=1e-12)


def test_table_of_full_explanation_equals_decomposition(whole: Decomposition) -> None:
    pd.testing.assert_frame_equal(listed(1000).to_pandas(), whole.to_pandas())


def test_table_shares_include_unlisted_contributions(whole: Decomposition) -> None:
    short = listed(2).to_pandas()
    assert len(short) == 4
    assert short["share"].sum() < 1
    shares = whole.to_pandas().set_index("index")["share"]
    np.testing.assert_allclose(short["share"], shares[short["index"]], rtol=1e-12)


def test_table_with_class_names_has_class_column(whole: Decomposition) -> None:
    names = ["north", "east", "south", "west"]
    frame = whole.to_pandas(names)
    assert list(frame["class"]) == [names[label] for label in frame["label"]]
    assert isinstance(frame["class"].dtype, pd.CategoricalDtype)
    assert isinstance(frame["sign"].dtype, pd.CategoricalDtype)


def test_table_without_contributions_is_empty_with_same_columns(whole: Decomposition) -> None:
    nothing = replace(whole, products=lambda rows: np.zeros(len(rows)))
    assert len(nothing.index) == 0
    assert nothing.to_arrow().schema.equals(whole.to_arrow().schema)
    explanation = replace(listed(2), supporting=(), opposing=(), sum_supporting=0.0, sum_opposing=0.0)
    assert explanation.to_arrow().schema.equals(whole.to_arrow().schema)
    assert isinstance(explanation.to_arrow(), pa.Table)


def test_to_pandas_without_pandas_says_how_to_install(whole: Decomposition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install 'dualxda-explorer\[notebook\]'"):
        whole.to_pandas()


def test_table_with_a_known_source_has_source_column() -> None:
    told = listed(2)
    assert "source" not in told.to_arrow().column_names
    first, *rest = told.supporting
    known = replace(told, supporting=(replace(first, source="cat/a.png"), *rest))
    table = known.to_arrow()
    assert dict(zip(table["index"].to_pylist(), table["source"].to_pylist(), strict=True)) == {
        part.index: "cat/a.png" if part is first else None for part in (*told.supporting, *told.opposing)
    }
    both = Explanations((told, known), tuple(f"class {k}" for k in range(9))).to_arrow()
    assert both["source"].to_pylist() == [None] * table.num_rows + table["source"].to_pylist()

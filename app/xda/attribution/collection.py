"""A sequence of explanations of several images, which is also one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from xda.attribution.contribution_tables import contribution_table, to_pandas
from xda.attribution.results import Explanation

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


MOST_SHOWN = 5
"""A notebook's cell shows at most so many explanations."""


@dataclass(frozen=True, slots=True)
class Explanations(Sequence[Explanation]):
    """Explanations in the order of their images."""

    items: tuple[Explanation, ...]
    classes: tuple[str, ...]
    """Names of the classes."""

    def __repr__(self) -> str:
        """Return the first few explanations; ``to_pandas`` shows all contributions as one table."""
        shown = [f"  {item!r}" for item in self.items[:MOST_SHOWN]]
        if len(self) > MOST_SHOWN:
            shown.append(f"  … {len(self) - MOST_SHOWN:,} more")
        return "\n".join([f"<{type(self).__name__} of {len(self):,} image{'' if len(self) == 1 else 's'}>", *shown])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations: ...
    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        """Return one explanation, or those of some images."""
        return self.items[index] if isinstance(index, int) else Explanations(self.items[index], self.classes)

    def __iter__(self) -> Iterator[Explanation]:
        """Iterate over the explanations."""
        return iter(self.items)

    def to_arrow(self) -> pa.Table:
        """Return the listed contributions to all images as one table.

        Columns: ``test`` (position of the image among the explained ones), ``target`` (the explained class), then those
        of ``xda.attribution.contribution_tables``.
        """
        import pyarrow as pa

        nothing = np.empty(0, dtype=np.int64)
        tables = [contribution_table(nothing, nothing, nothing.astype(np.float64), nothing > 0, 0.0, self.classes)]
        tables += [item.to_arrow(self.classes) for item in self.items]
        rows = [0, *(table.num_rows for table in tables[1:])]
        # The table of an explanation has no source column if none of its images has a known source.
        whole = pa.concat_tables(tables, promote_options="default")
        for name, values in (("target", [0, *(e.target for e in self)]), ("test", [0, *(e.test.index for e in self)])):
            whole = whole.add_column(0, name, pa.array(np.repeat(np.asarray(values, dtype=np.int64), rows)))
        return whole

    def to_pandas(self) -> pd.DataFrame:
        """Return ``to_arrow`` as a DataFrame; ConfigError if pandas is not installed."""
        return to_pandas(self.to_arrow())

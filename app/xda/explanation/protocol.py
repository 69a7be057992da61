"""The protocol of explainers: a run folder and a model in memory share it.

Only the *query* differs: a run takes the position of a test image, a model in memory takes an image. Parameters and
results are the same: one result for one query, a sequence of results for several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.collection import Explanations
from xda.attribution.decomposition import Decomposition
from xda.attribution.ranking import Rank
from xda.attribution.results import Explanation, PairRelevance
from xda.decision import ClassesAsked, Decision
from xda.explanation.fitted_surrogate import FittedSurrogate
from xda.explanation.illustration import Panel
from xda.explanation.refit import MeasuredRemoval
from xda.progress import Progress, silent

if TYPE_CHECKING:
    from xda.storage.run.manifest import CertificateEntry
    from xda.surrogate import Certificate

One = TypeVar("One", contravariant=True)
Several = TypeVar("Several", contravariant=True)


class DecisionExplainer(Protocol[One, Several]):
    """Explains decisions by training images; ``Explainer`` and ``ModelExplainer`` satisfy it.

    Everywhere, ``c`` is the regularisation parameter of the surrogate (default ``default_c``), ``target`` the class to
    explain, by number or name (default the class that the network predicts), ``against`` the contrast class.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def c_values(self) -> tuple[float, ...]:
        """The C of each surrogate, ascending."""

    @property
    def default_c(self) -> float:
        """The C used unless another is given."""

    @property
    def n_train(self) -> int:
        """Number of training images."""

    @property
    def train_labels(self) -> NDArray[np.int64]:
        """Labels of the training images, shape (N,)."""

    @property
    def train_features(self) -> NDArray[np.float32]:
        """Phi of the training images, shape (N, d)."""

    def surrogate(self, c: float | None = None) -> FittedSurrogate:
        """Return the surrogate of a C."""

    def certificate(self, c: float | None = None) -> Certificate | CertificateEntry:
        """Return how well a surrogate is solved: primal, dual, gap, support size."""

    def fidelity(self, *, c: float | None = None) -> float:
        """Return the share of images on which surrogate and network predict the same class."""

    def slack(self, c: float | None = None) -> NDArray[np.float32]:
        """Return the hinge loss of every training image, shape (N,)."""

    def self_influence(self, c: float | None = None) -> NDArray[np.float64]:
        """Return the self-influence of every training image, shape (N,)."""

    # ``decide`` resolves a request to a decision, or to one for each of several queries (one class for all or each).
    @overload
    def decide(
        self,
        query: One,
        /,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decision: ...
    @overload
    def decide(
        self,
        query: Several,
        /,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> list[Decision]: ...

    # ``explain`` returns ranked contributions; ``limit`` of each sign are listed, None for all.
    @overload
    def explain(
        self,
        query: One,
        /,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        limit: int | None = 12,
        train_class: int | str | None = None,
        rank: Rank = "sum",
    ) -> Explanation: ...
    @overload
    def explain(
        self,
        query: Several,
        /,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
        limit: int | None = 12,
        train_class: int | str | None = None,
        rank: Rank = "sum",
    ) -> Explanations: ...

    def attributions(
        self,
        query: One | Several,
        /,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> sparse.csr_array:
        """Return every training image's contribution to each decision, shape (queries, N)."""

    def decompose(
        self,
        query: One,
        /,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decomposition:
        """Return every non-zero contribution to one decision."""

    def measured_removal(
        self,
        query: One,
        /,
        remove: Sequence[int],
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> MeasuredRemoval:
        """Fit the surrogate again without some training images, and return the decision before and after."""

    def prepare_removal(self, *, c: float | None = None, progress: Progress = silent) -> None:
        """Make effects of removals ready for a C, which takes seconds at most once."""

    def pair_maps(
        self,
        query: One,
        train: Sequence[int],
        /,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> list[PairRelevance]:
        """Return the two heat-maps of each pair of the image and training images, in their order."""

    def own_map(
        self,
        query: One,
        /,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> PairRelevance:
        """Return the heat-map of the surrogate's logit: the map as ``test``, the logit as ``attribution``."""

    def panel(
        self,
        query: One,
        /,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        limit: int = 4,
    ) -> Panel:
        """Return an explanation with its images and heat-maps, for a figure."""

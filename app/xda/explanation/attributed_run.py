"""An open run that attributes the decisions on its test images to training images.

In: an open run and the device that holds its support vectors' features. Out: frozen decisions, decompositions and
explanations, in the calling thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.collection import Explanations
from xda.attribution.decomposition import Decomposition
from xda.attribution.ranking import Rank, check_rank
from xda.attribution.results import Explanation, TrainingSample
from xda.decision import ClassesAsked, Decision, class_number, class_numbers
from xda.errors import InvalidRequestError
from xda.explanation.fitted_surrogate import ServedSurrogate, attribution_matrix
from xda.explanation.heatmaps import MapCache
from xda.explanation.open_run import OpenRun
from xda.explanation.rankings import TrainingSet
from xda.explanation.refit import MeasuredRemoval, measure_removal
from xda.explanation.training_sample import training_sample
from xda.progress import Progress, silent
from xda.runs.ranking_arrays import read_class_means
from xda.storage.run.folder import RunFolder

Tests = Sequence[int] | Sequence[Decision] | NDArray[np.int64]
"""Several test images by their positions, or decisions on them."""


class AttributedRun(OpenRun):
    """An open run with its surrogates; parameters and attributes as for ``OpenRun``."""

    def __init__(self, run: RunFolder, device: torch.device, cache: MapCache | None = None) -> None:
        super().__init__(run, cache)
        sources = self.outcomes.sources["train"]
        training = TrainingSet(
            self.train_features,
            self.labels("train"),
            self.outcomes.predicted["train"],
            self.classes,
            read_class_means(run),
        )
        self._served = {c: ServedSurrogate(run, c, training, device, sources.lookup) for c in self.c_values}

    @overload
    def decide(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decision: ...
    @overload
    def decide(
        self,
        test: Tests,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> list[Decision]: ...
    def decide(
        self,
        test: int | Decision | Tests,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> Decision | list[Decision]:
        """Resolve a person's request to a decision, or to one for each of several images.

        Parameters
        ----------
        test : int or Decision, or a sequence of either
            Position in the test set; or a decision, which is checked and returned. Of several, a list is returned.
        c : float, optional
            Regularisation parameter of the surrogate; default ``default_c``.
        target : int or str, optional
            Class to explain, its number or name; default the class that the network predicts. Of several images, one
            for all or a sequence with one for each.
        against : int or str, optional
            Contrast class: explain why ``target`` and not ``against``.

        Raises
        ------
        NotFoundError
            If there is no such test image, class or C.
        InvalidRequestError
            If the contrast class is the target, several classes have the name, or targets are not one per image.
        """
        decisions = self._decisions(test, c, target, against)
        return decisions if _several(test) else decisions[0]

    def _decisions(
        self, test: Any, c: float | None, target: ClassesAsked | None, against: int | str | None
    ) -> list[Decision]:
        if not _several(test):
            return [self._decision(test, c, target, against)]
        chosen = [None] * len(test) if target is None else class_numbers(target, self.classes, len(test))
        return [self._decision(each, c, one, against) for each, one in zip(test, chosen, strict=True)]

    def _decision(self, test: Any, c: float | None, target: Any, against: int | str | None) -> Decision:
        if isinstance(test, Decision):
            if (c, target, against) != (None, None, None):
                raise InvalidRequestError(f"{test} has C and classes already; leave c, target and against out.")
            c, target, against, test = test.c, test.target, test.against, test.test
        self.bounds.check_image("test", test)
        c = self.bounds.resolve_c(c)
        chosen = int(self.outcomes.predicted["test"][test]) if target is None else class_number(target, self.classes)
        other = None if against is None else class_number(against, self.classes)
        self.bounds.check_decision(chosen, other)
        return Decision(int(test), c, chosen, other)

    @overload
    def explain(
        self,
        test: int | Decision,
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
        test: Tests,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
        limit: int | None = 12,
        train_class: int | str | None = None,
        rank: Rank = "sum",
    ) -> Explanations: ...
    def explain(
        self,
        test: int | Decision | Tests,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
        limit: int | None = 12,
        train_class: int | str | None = None,
        rank: Rank = "sum",
    ) -> Explanation | Explanations:
        """Explain the decision on a test image by ranked contributions of training images, or those on several.

        Parameters
        ----------
        test, c, target, against
            As for ``decide``. Of several images, ``Explanations`` are returned, which are one table.
        limit : int, optional
            Most contributions listed of each sign; None for all. The totals are always over all.
        train_class : int or str, optional
            List only training images with this label; the totals stay over all.
        rank : {"sum", "image", "removal"}
            What the contributions are ranked and summed by: their share of the logit (``attribution``); their share of
            the difference to the average image of the target (``specific``); or the estimated change of the logit if
            the image is removed and the surrogate fitted again (``removal_effect``; negative: it supports). A share of
            the sum is not what would change if the image were missing.

        Raises
        ------
        NotFoundError, InvalidRequestError
            As for ``decide``, and if the limit is negative.
        """
        decisions = self._decisions(test, c, target, against)
        label = self.bounds.check_listed(limit, train_class, self.classes)
        by = check_rank(rank)
        told = tuple(self.decompose(each).explanation(limit, label, by) for each in decisions)
        return Explanations(told, self.classes) if _several(test) else told[0]

    def decompose(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decomposition:
        """Return every non-zero contribution to a decision; parameters and errors as for ``decide``."""
        decision = self.decide(test, c=c, target=target, against=against)
        served = self._served[decision.c]
        sample = self.outcomes.test_sample(decision.test, served.test_logits[decision.test].tolist())
        return served.decompose(decision, self.test_features[decision.test], sample)

    def measured_removal(
        self,
        test: int | Decision,
        /,
        remove: Sequence[int],
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> MeasuredRemoval:
        """Fit the surrogate again without some training images, and return the decision before and after.

        What the ranking ``removal`` estimates, measured: for the surrogate, on the same features. The network is not
        trained again, and nothing is written.

        Parameters
        ----------
        test, c, target, against
            As for ``decide``, for one image.
        remove : sequence of int
            Positions in the training set.

        Raises
        ------
        NotFoundError, InvalidRequestError
            As for ``decide``, and if a training image does not exist or none would be left.
        """
        parts = self.decompose(test, c=c, target=target, against=against)
        self.bounds.check_images("train", remove)
        decision = parts.decision
        query, tol = self.test_features[decision.test], self.certificate(decision.c).tol
        return measure_removal(self._served[decision.c], parts, query, remove, tol)

    def prepare_removal(self, *, c: float | None = None, progress: Progress = silent) -> None:
        """Make effects of removals ready for a C, with its progress: read from the run, or computed once."""
        self.surrogate(c).rankings.curvature(progress)

    def attributions(
        self,
        test: int | Decision | Tests,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> sparse.csr_array:
        """Return all attributions as a sparse matrix; parameters and errors as for ``decide``.

        Returns
        -------
        csr_array of float64, shape (B, N)
            ``tau_i`` of each training image for each decision; each row sums to the surrogate's logit (difference).
        """
        decisions = self._decisions(test, c, target, against)
        queries = self.test_features[[decision.test for decision in decisions]]
        return attribution_matrix(self.surrogate, decisions, queries, self.n_train)

    def training_sample(self, index: int, *, c: float | None = None, limit: int = 12) -> TrainingSample:
        """Return a training image's dual variables, slack and prediction, and the test images that it moves most.

        Parameters
        ----------
        index : int
            Position in the training set.
        c : float, optional
            As for ``explain``.
        limit : int
            Test images listed of each sign.

        Raises
        ------
        NotFoundError
            If there is no such training image or C.
        """
        self.bounds.check_image("train", index)
        self.bounds.check_limit(limit)
        return training_sample(self, self.surrogate(c), index, limit)

    def surrogate(self, c: float | None = None) -> ServedSurrogate:
        """Return the surrogate of a C, with weights, support set and slacks; NotFoundError if there is none."""
        return self._served[self.bounds.resolve_c(c)]

    def slack(self, c: float | None = None) -> NDArray[np.float32]:
        """Return the hinge loss of every training image, shape (N,): large if mislabelled, ambiguous or hard."""
        return self.surrogate(c).slack

    def self_influence(self, c: float | None = None) -> NDArray[np.float64]:
        """Return ``alpha_i^{y_i} |z_i|^2`` of every training image, shape (N,) (method section 2)."""
        return self.surrogate(c).self_influence(self.train_features)


def _several(test: Any) -> bool:
    return np.ndim(test) > 0

"""The result of ``xda.explain``: a model with its fitted surrogates in memory and heat-maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import PairRelevance
from xda.data.tensors import Images
from xda.decision import Decision
from xda.explanation.attributed_model import AttributedModel
from xda.explanation.illustration import Panel, displayable
from xda.relevance.relevance_model import RelevanceModel

Show = Callable[[NDArray[np.float32]], NDArray[Any]]


class ModelExplainer(AttributedModel):
    """A model that explains its decisions on any images, heat-maps included. Use ``xda.explain``."""

    _relevance_model: RelevanceModel | None = None

    def pair_maps(
        self,
        image: Images,
        train: Sequence[int],
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> list[PairRelevance]:
        """Return the two heat-maps of each pair of an image and training images, in their order.

        Both start from ``R = (alpha_i^c - alpha_i^e) phi(x) * phi(x_i)`` and sum to the attribution (method section 4),
        less the part of an augmented intercept (``PairRelevance.intercept``).

        Raises
        ------
        NotFoundError, InvalidRequestError, DataError
            As for ``explain``, and if there is no such training image.
        NoHeatmapsError
            If no relevance can be propagated through the model.
        """
        pixels, query, decision = self._query(image, c, target, against)
        self._bounds.check_images("train", train)
        support = self.surrogate(decision.c).support
        weights = np.array([decision.contrast(support.row(index)) for index in train])
        relevance = weights.reshape(-1, 1) * query * self.features[np.asarray(train, dtype=np.int64)]
        on_image, on_partners = self._model().pair_maps(
            pixels, [self._images.image(index) for index in train], relevance.astype(np.float32)
        )
        apart = weights * self._offset
        return [
            PairRelevance(index, on_image[k], on_partners[k], float(relevance[k].sum() + apart[k]), float(apart[k]))
            for k, index in enumerate(train)
        ]

    relevance = pair_maps

    def own_map(
        self,
        image: Images,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> PairRelevance:
        """Return the LRP map of the surrogate's logit on an image: the sum of all pairs' maps on it.

        The result has the map as ``test``, zeros as ``train`` and the logit as ``attribution``; the map sums to that
        less ``intercept``. Errors as for ``relevance``.
        """
        pixels, query, decision = self._query(image, c, target, against)
        weights: NDArray[np.float64] = decision.contrast(self.surrogate(decision.c).coef)
        relevance = weights[: len(query)] * query
        apart = float(weights[len(query) :].sum())
        (found,) = self._model().maps([pixels], relevance[None].astype(np.float32))
        return PairRelevance(-1, found, np.zeros_like(found), float(relevance.sum()) + apart, apart)

    def own_relevance(
        self,
        image: Images,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> NDArray[np.float32]:
        """Return the map of ``own_map`` alone, shape (H, W)."""
        return self.own_map(image, c=c, target=target, against=against).test

    def panel(
        self,
        image: Images,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        limit: int = 4,
        label: int | None = None,
        show: Show | None = None,
    ) -> Panel:
        """Return an explanation with its images and heat-maps, for ``xda.figure``; errors as for ``relevance``.

        Parameters
        ----------
        image, c, target, against, limit
            As for ``explain``, for a single image.
        label : int, optional
            Label of the image, if known.
        show : callable, optional
            Turns the model's input, (C, H, W), into an image for people, (H, W) or (H, W, 3) with values in [0, 1];
            default: the smallest value becomes black, the largest white.
        """
        pixels = self._one(image)
        known = None if label is None else [label]
        told = self.explain(pixels, c=c, target=target, against=against, limit=limit, labels=known)
        pairs = self.relevance(pixels, told.listed, c=c, target=told.target, against=against)
        picture = show or displayable
        return Panel(
            explanation=told,
            classes=self.classes,
            test_image=picture(pixels),
            train_images={index: picture(self._images.image(index)) for index in told.listed},
            own_map=self.own_relevance(pixels, c=c, target=told.target, against=against),
            pairs={pair.train_index: pair for pair in pairs},
        )

    def _query(
        self, image: Images, c: float | None, target: int | str | None, against: int | str | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], Decision]:
        """Return pixels (C, H, W) and features (d,) of a single image, and the decision on it."""
        pixels = self._one(image)
        asked = self._read(pixels, c, target, against)
        return pixels, asked.features[0].astype(np.float64), asked.decisions[0]

    def _model(self) -> RelevanceModel:
        if self._relevance_model is None:
            self._relevance_model = self._classifier.relevance_model()
        return self._relevance_model

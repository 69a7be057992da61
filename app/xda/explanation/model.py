"""A model with its fitted surrogates in memory: decisions on any images, explained by the training images.

In: a frozen classifier, its training images as tensors, the fits. Out: the same frozen types as from an open run
(``xda.attribution.results``, ``PairRelevance``), sparse matrices and arrays. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.collection import Explanations
from xda.attribution.decomposition import Decomposition
from xda.attribution.fidelity import agreement
from xda.attribution.results import UNLABELLED, PairRelevance, TestSample
from xda.attribution.support import SupportSet
from xda.data.tensors import Images, LabelledImages, PreparedSet
from xda.decision import Bounds, Decision, contrast
from xda.errors import InvalidRequestError
from xda.explanation.classifier import FrozenClassifier
from xda.explanation.illustration import Panel, displayable
from xda.explanation.queries import Decisions, decide
from xda.explanation.surrogate import FittedSurrogate
from xda.networks.products import DeviceFeatures
from xda.runs.default_c import middle
from xda.storage.run.layout import intercept_offset
from xda.surrogate import Certificate, CrammerSingerSVC

if TYPE_CHECKING:
    from xda.explanation.queries import ClassesAsked
    from xda.relevance.model import RelevanceModel

    Show = Callable[[NDArray[np.float32]], NDArray[Any]]

SUBJECT = "This explainer"


class ModelExplainer:
    """A model with its fitted surrogates. Use ``xda.explain``.

    Attributes
    ----------
    classes : tuple of str
    c_values : tuple of float
        Ascending.
    default_c : float
        The middle C, used unless another is given. (A run chooses its default by test images; a model in memory has
        none. ``fidelity(test_set, c=…)`` returns how often a C agrees with the model.)
    n_train : int
    features, train_features : ndarray of float32, shape (N, d)
        phi of the training images.
    train_logits : ndarray of float32, shape (N, K)
        The model's logits for the training images.
    train_labels : ndarray of int64, shape (N,)
    remark : str
        The model's steps after its head, and its further outputs, in words; empty without any.
    """

    def __init__(
        self,
        classifier: FrozenClassifier,
        images: PreparedSet,
        classes: tuple[str, ...],
        features: NDArray[np.float32],
        train_logits: NDArray[np.float32],
        train_labels: NDArray[np.int64],
        fitted: Sequence[CrammerSingerSVC],
    ) -> None:
        self._classifier = classifier
        self._images = images
        self.remark = classifier.remark
        self.classes = classes
        self.features = self.train_features = features
        self.train_logits = train_logits
        self.train_labels = train_labels
        self.n_train = len(train_labels)
        self.c_values = tuple(sorted(svc.C for svc in fitted))
        self.default_c = middle(self.c_values)
        self._bounds = Bounds("", self.n_train, 0, len(classes), self.c_values, self.default_c, SUBJECT)
        self._offset = intercept_offset(fitted[0].intercept)
        self._certificates: Mapping[float, Certificate] = {svc.C: svc.certificate_ for svc in fitted}
        self._surrogates = {svc.C: self._answering(svc) for svc in fitted}
        self._relevance_model: RelevanceModel | None = None

    def __repr__(self) -> str:
        """Return the number of support vectors at each C, for the end of a notebook's cell."""
        told = ", ".join(f"C={c:g}: {len(self._surrogates[c].support):,} support vectors" for c in self.c_values)
        return f"<{type(self).__name__}: {self.n_train:,} training images, {len(self.classes)} classes; {told}>"

    # Quality of the surrogates

    def certificate(self, c: float | None = None) -> Certificate:
        """Return how well a surrogate is solved: primal, dual, gap, support size; NotFoundError without such a C."""
        return self._certificates[self._bounds.resolve_c(c)]

    def fidelity(self, data: Images | LabelledImages | None = None, *, c: float | None = None) -> float:
        """Return the share of images on which surrogate and model predict the same class.

        Parameters
        ----------
        data : Dataset, DataLoader, (images, labels) or images, optional
            Default: the training images. A test set says more.
        c : float, optional
            As for ``explain``.

        Raises
        ------
        NotFoundError, DataError
            If there is no such C, or the images cannot be used.
        """
        surrogate = self.surrogate(c)
        features, logits = self.features, self.train_logits
        if data is not None:
            features, logits, _ = self._classifier.outputs(data)
        return agreement(surrogate.logits(features), logits)

    def slack(self, c: float | None = None) -> NDArray[np.float32]:
        """Return the hinge loss of every training image, shape (N,): large if mislabelled, ambiguous or hard."""
        return self.surrogate(c).slack

    def self_influence(self, c: float | None = None) -> NDArray[np.float64]:
        """Return ``alpha_i^{y_i} |z_i|^2`` of every training image, shape (N,) (method section 2)."""
        return self.surrogate(c).self_influence(self.features)

    def surrogate(self, c: float | None = None) -> FittedSurrogate:
        """Return the surrogate of a C, with weights, support set and slacks; NotFoundError if there is none."""
        return self._surrogates[self._bounds.resolve_c(c)]

    # Attribution

    def explain(
        self,
        images: Images | LabelledImages,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
        limit: int | None = None,
        labels: Sequence[int] | None = None,
    ) -> Explanations:
        """Explain the decisions on images by ranked contributions of training images.

        Parameters
        ----------
        images : tensor or array, shape (C, H, W) or (B, C, H, W); or Dataset, DataLoader or (images, labels)
            As the model takes them. Those of a data set are read in batches, and come with their labels.
        c : float, optional
            Regularisation parameter of the surrogate; default ``default_c``.
        target : int or str, or a sequence of them, optional
            Class to explain, by number or name, for all images or for each; default what the model predicts.
        against : int or str, optional
            Contrast class: explain why ``target`` and not ``against``.
        limit : int, optional
            Contributions listed of each sign; default all. The totals are always over all.
        labels : sequence of int, optional
            Labels of the images, if known, for ``Explanation.test``. Default: those of the data set.

        Returns
        -------
        Explanations
            One for each image; ``to_pandas`` and ``to_arrow`` give one table.

        Raises
        ------
        NotFoundError
            If there is no such class or C.
        InvalidRequestError
            If the contrast class is the target, the limit is negative, or targets or labels are not one per image.
        DataError
            If the images have another shape than the training images.
        """
        surrogate = self.surrogate(c)
        if limit is not None:
            self._bounds.check_limit(limit)
        parts = self._decompose(images, surrogate, target, against, labels)
        return Explanations(tuple(each.explanation(limit) for each in parts), self.classes)

    def decompose(
        self,
        image: Images,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decomposition:
        """Return every non-zero contribution to the decision on one image; parameters and errors as for ``explain``."""
        (parts,) = self._decompose(self._one(image), self.surrogate(c), target, against)
        return parts

    def _decompose(
        self,
        images: Images | LabelledImages,
        surrogate: FittedSurrogate,
        target: ClassesAsked | None,
        against: int | str | None,
        labels: Sequence[int] | None = None,
    ) -> list[Decomposition]:
        asked = self._decide(images, target, against)
        n = len(asked.features)
        if labels is not None and len(labels) != n:
            raise InvalidRequestError(f"{len(labels)} labels were given for {n} images; one each is needed.")
        if labels is not None and n and np.asarray(labels).dtype.kind not in "iu":
            raise InvalidRequestError(f"labels are {labels}; whole numbers are needed.")
        known = asked.labels if labels is None else labels
        own = surrogate.logits(asked.features)
        found = []
        for i, (query, chosen) in enumerate(zip(asked.features, asked.targets.tolist(), strict=True)):
            test = TestSample(
                index=i,
                label=UNLABELLED if known is None else int(known[i]),
                predicted=int(asked.logits[i].argmax()),
                network_logits=tuple(asked.logits[i].tolist()),
                surrogate_logits=tuple(own[i].tolist()),
            )
            found.append(surrogate.decompose(Decision(i, surrogate.c, chosen, asked.against), query, test))
        return found

    def attributions(
        self,
        images: Images | LabelledImages,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> sparse.csr_array:
        """Return all attributions as a sparse matrix; parameters and errors as for ``explain``.

        Returns
        -------
        csr_array of float64, shape (B, N)
            ``tau_i`` of each training image for each image; each row sums to the surrogate's logit (difference).
        """
        surrogate = self.surrogate(c)
        asked = self._decide(images, target, against)
        nothing = np.empty(0, dtype=np.int64)
        rows, columns, values = [nothing], [nothing], [np.empty(0)]
        for chosen in np.unique(asked.targets).tolist():
            same = np.flatnonzero(asked.targets == chosen)
            positions, tau = surrogate.values(asked.features[same], chosen, asked.against)
            rows.append(np.repeat(same, len(positions)))
            columns.append(np.tile(surrogate.support.index[positions], len(same)))
            values.append(tau.T.ravel())
        where = (np.concatenate(rows), np.concatenate(columns))
        return sparse.coo_array((np.concatenate(values), where), shape=(len(asked.targets), self.n_train)).tocsr()

    # Heat-maps

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
        surrogate = self.surrogate(c)
        pixels, query, chosen, against = self._decision(image, target, against)
        self._bounds.check_images("train", train)
        weights = np.array([contrast(surrogate.support.row(index), chosen, against) for index in train])
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
        coef = self.surrogate(c).coef
        pixels, query, chosen, against = self._decision(image, target, against)
        weights: NDArray[np.float64] = contrast(coef, chosen, against)
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
        (told,) = self.explain(pixels, c=c, target=target, against=against, limit=limit, labels=known)
        listed = [part.index for part in (*told.supporting, *told.opposing)]
        pairs = self.relevance(pixels, listed, c=c, target=told.target, against=against)
        picture = show or displayable
        return Panel(
            explanation=told,
            classes=self.classes,
            test_image=picture(pixels),
            train_images={index: picture(self._images.image(index)) for index in listed},
            own_map=self.own_relevance(pixels, c=c, target=told.target, against=against),
            pairs={pair.train_index: pair for pair in pairs},
        )

    def _answering(self, svc: CrammerSingerSVC) -> FittedSurrogate:
        augmented = svc.intercept == "augment"
        support = SupportSet(
            index=svc.support_.astype(np.int64),
            label=self.train_labels[svc.support_],
            dual_coef=svc.dual_coef_[svc.support_],
            c=svc.C,
            n_train=self.n_train,
        )
        return FittedSurrogate(
            svc.C,
            np.column_stack([svc.coef_, svc.intercept_]) if augmented else svc.coef_,
            support,
            DeviceFeatures(self.features[support.index], self._classifier.device, offset=self._offset),
            svc.slack_.astype(np.float32),
            lambda indices: [self._images.origin(index) for index in indices.tolist()],
        )

    def _decide(
        self, images: Images | LabelledImages, target: ClassesAsked | None, against: int | str | None
    ) -> Decisions:
        return decide(self._classifier, self._bounds, self.classes, images, target, against)

    def _one(self, image: Images) -> NDArray[np.float32]:
        pixels = self._classifier.pixels(image)
        if len(pixels) != 1:
            raise InvalidRequestError(f"{len(pixels)} images were given; heat-maps take one at a time.")
        return np.asarray(pixels[0])

    def _decision(
        self, image: Images, target: int | str | None, against: int | str | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], int, int | None]:
        """Return pixels (C, H, W), features (d,) and target of a single image, and the contrast class."""
        pixels = self._one(image)
        asked = self._decide(pixels, target, against)
        return pixels, asked.features[0].astype(np.float64), int(asked.targets[0]), asked.against

    def _model(self) -> RelevanceModel:
        if self._relevance_model is None:
            self._relevance_model = self._classifier.relevance_model()
        return self._relevance_model

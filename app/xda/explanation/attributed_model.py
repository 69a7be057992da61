"""A model with its fitted surrogates in memory: attributes its decisions on any images to training images.

In: a frozen classifier, its training images as tensors, the fits. Out: the same frozen types as from an open run
(``xda.attribution.results``), sparse matrices and arrays. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.collection import Explanations
from xda.attribution.decomposition import Decomposition
from xda.attribution.fidelity import agreement
from xda.attribution.ranking import Rank, check_rank
from xda.attribution.results import UNLABELLED, TestSample
from xda.attribution.support import SupportSet
from xda.data.tensors import Images, LabelledImages, PreparedSet
from xda.decision import Bounds, ClassesAsked
from xda.errors import InvalidRequestError
from xda.explanation.classifier import FrozenClassifier
from xda.explanation.fitted_surrogate import FittedSurrogate, attribution_matrix
from xda.explanation.image_queries import Queries, read_queries
from xda.explanation.rankings import TrainingSet
from xda.explanation.refit import MeasuredRemoval, measure_removal
from xda.networks.products import DeviceFeatures
from xda.progress import Progress, silent
from xda.runs.default_c import middle
from xda.storage.run.layout import intercept_offset
from xda.surrogate import Certificate, CrammerSingerSVC

SUBJECT = "This explainer"


class AttributedModel:
    """A model with its fitted surrogates.

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
        predicted = train_logits.argmax(axis=1)
        self._training = TrainingSet(features, train_labels, predicted.astype(np.int64), classes)
        self._surrogates = {svc.C: self._answering(svc) for svc in fitted}

    def __repr__(self) -> str:
        """Return the number of support vectors at each C, for the end of a notebook's cell."""
        told = ", ".join(f"C={c:g}: {len(self._surrogates[c].support):,} support vectors" for c in self.c_values)
        return f"<{type(self).__name__}: {self.n_train:,} training images, {len(self.classes)} classes; {told}>"

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

    def decide(
        self,
        images: Images | LabelledImages,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> Any:
        """Resolve a person's request to a decision, or to one for each of several images.

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

        Returns
        -------
        Decision or list of Decision
            The first for one image (C, H, W). ``test`` is the position among the given images.

        Raises
        ------
        NotFoundError
            If there is no such class or C.
        InvalidRequestError
            If the contrast class is the target, or targets are not one per image.
        DataError
            If the images have another shape than the training images.
        """
        asked = self._read(images, c, target, against)
        return asked.decisions[0] if asked.single else asked.decisions

    def explain(
        self,
        images: Images | LabelledImages,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
        limit: int | None = 12,
        train_class: int | str | None = None,
        rank: Rank = "sum",
        labels: Sequence[int] | None = None,
    ) -> Any:
        """Explain the decision on an image by ranked contributions of training images, or those on several.

        Parameters
        ----------
        images, c, target, against
            As for ``decide``.
        limit : int, optional
            Most contributions listed of each sign; None for all. The totals are always over all.
        train_class : int or str, optional
            List only training images with this label; the totals stay over all.
        rank : {"sum", "image", "removal"}
            What the contributions are ranked and summed by: their share of the logit (``attribution``); their share of
            the difference to the average image of the target (``specific``); or the estimated change of the logit if
            the image is removed and the surrogate fitted again (``removal_effect``; negative: it supports). A share of
            the sum is not what would change if the image were missing.
        labels : sequence of int, optional
            Labels of the images, if known, for ``Explanation.test``. Default: those of the data set.

        Returns
        -------
        Explanation or Explanations
            The first for one image (C, H, W). ``to_pandas`` and ``to_arrow`` give one table of either.

        Raises
        ------
        NotFoundError, DataError
            As for ``decide``.
        InvalidRequestError
            As for ``decide``, and if the limit is negative, or labels are not one per image.
        """
        listed = self._bounds.check_listed(limit, train_class, self.classes)
        asked = self._read(images, c, target, against)
        by = check_rank(rank)
        told = [each.explanation(limit, listed, by) for each in self._decompose(asked, labels)]
        return told[0] if asked.single else Explanations(tuple(told), self.classes)

    def decompose(
        self,
        image: Images,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decomposition:
        """Return every non-zero contribution to the decision on one image; parameters and errors as for ``decide``."""
        (parts,) = self._decompose(self._read(self._one(image), c, target, against))
        return parts

    def measured_removal(
        self,
        image: Images,
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
        image, c, target, against
            As for ``decide``, for one image.
        remove : sequence of int
            Positions in the training set.

        Raises
        ------
        NotFoundError, InvalidRequestError
            As for ``decide``, and if a training image does not exist or none would be left.
        """
        asked = self._read(self._one(image), c, target, against)
        self._bounds.check_images("train", remove)
        (parts,) = self._decompose(asked)
        surrogate = self._surrogates[parts.decision.c]
        return measure_removal(surrogate, parts, asked.features[0], remove, self.certificate(surrogate.c).tol)

    def prepare_removal(self, *, c: float | None = None, progress: Progress = silent) -> None:
        """Make effects of removals ready for a C, with its progress: computed once."""
        self.surrogate(c).rankings.curvature(progress)

    def attributions(
        self,
        images: Images | LabelledImages,
        *,
        c: float | None = None,
        target: ClassesAsked | None = None,
        against: int | str | None = None,
    ) -> sparse.csr_array:
        """Return all attributions as a sparse matrix; parameters and errors as for ``decide``.

        Returns
        -------
        csr_array of float64, shape (B, N)
            ``tau_i`` of each training image for each image; each row sums to the surrogate's logit (difference).
        """
        asked = self._read(images, c, target, against)
        return attribution_matrix(self.surrogate, asked.decisions, asked.features, self.n_train)

    def _read(
        self, images: Images | LabelledImages, c: float | None, target: ClassesAsked | None, against: int | str | None
    ) -> Queries:
        return read_queries(self._classifier, self._bounds, self.classes, images, c, target, against)

    def _one(self, image: Images) -> NDArray[np.float32]:
        pixels = self._classifier.pixels(image)
        if len(pixels) != 1:
            raise InvalidRequestError(f"{len(pixels)} images were given; this takes one image at a time.")
        return np.asarray(pixels[0])

    def _decompose(self, asked: Queries, labels: Sequence[int] | None = None) -> list[Decomposition]:
        n = len(asked.decisions)
        if labels is not None and len(labels) != n:
            raise InvalidRequestError(f"{len(labels)} labels were given for {n} images; one each is needed.")
        if labels is not None and n and np.asarray(labels).dtype.kind not in "iu":
            raise InvalidRequestError(f"labels are {labels}; whole numbers are needed.")
        if n == 0:
            return []
        known = asked.labels if labels is None else labels
        surrogate = self._surrogates[asked.decisions[0].c]
        own = surrogate.logits(asked.features)
        found = []
        for i, decision in enumerate(asked.decisions):
            test = TestSample(
                index=i,
                label=UNLABELLED if known is None else int(known[i]),
                predicted=int(asked.logits[i].argmax()),
                network_logits=tuple(asked.logits[i].tolist()),
                surrogate_logits=tuple(own[i].tolist()),
            )
            found.append(surrogate.decompose(decision, asked.features[i], test))
        return found

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
            self._training,
            lambda indices: [self._images.origin(index) for index in indices.tolist()],
        )

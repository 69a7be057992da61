"""An open run without its explanations: images, labels, predictions, and galleries of test images.

In: a run folder. Out: arrays, encoded images and pages of galleries, all from mapped files in the calling thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xda.attribution.fidelity import confidence_and_margin
from xda.data.preprocessing import Preprocessing
from xda.decision import Bounds, Split
from xda.explanation.gallery import Gallery, GalleryFilter, GalleryOrder, GalleryPage, check_filter
from xda.explanation.heatmaps import MapCache
from xda.explanation.images import ShownImages
from xda.runs.default_c import best
from xda.runs.left_out import LeftOutImage, read_left_out
from xda.runs.outcomes import Outcomes
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.storage.run.manifest import CertificateEntry, SurrogateEntry


class OpenRun:
    """An open run.

    Parameters
    ----------
    run : RunFolder
    cache : MapCache, optional
        Keeps small versions of images across restarts.

    Attributes
    ----------
    run : RunFolder
    id, digest, title : str
        Name of the run in URLs, SHA-256 of its manifest, and its title.
    classes : tuple of str
    n_train, n_test : int
    bounds : Bounds
        The existing images, classes and C.
    surrogates : tuple of SurrogateEntry
        One for each C, ascending, with certificate and fidelity.
    c_values : tuple of float
    test_features : ndarray of float32, shape (n_test, d)
    preprocessing : Preprocessing
        The network's own preprocessing of images.
    images : ShownImages
        The images for pages, with the places of heat-maps on them.
    outcomes : Outcomes
        Labels, predictions and logits of both splits.
    default_c : float
        The C used unless another is given: its surrogate agrees best with the network on the test images.
    """

    def __init__(self, run: RunFolder, cache: MapCache | None = None) -> None:
        manifest = run.manifest
        self.run = run
        self.id = manifest.id
        self.digest = run.digest
        self.title = manifest.title
        self.classes = manifest.classes
        self.surrogates: tuple[SurrogateEntry, ...] = tuple(sorted(manifest.surrogates, key=lambda entry: entry.c))
        self.c_values = tuple(entry.c for entry in self.surrogates)
        self.preprocessing = Preprocessing.from_dict(manifest.network.preprocessing)
        self.images = ShownImages(run, self.preprocessing, cache)
        self.test_features = np.asarray(run.array(layout.features("test")))
        self.outcomes = Outcomes(run)
        labels, predicted = self.outcomes.labels, self.outcomes.predicted
        self.n_train, self.n_test = len(labels["train"]), len(labels["test"])
        self.default_c = best(self.surrogates).c
        self.bounds = Bounds(self.id, self.n_train, self.n_test, len(self.classes), self.c_values, self.default_c)
        confidence, margin = confidence_and_margin(self.outcomes.logits["test"])
        self._galleries = {
            c: Gallery(
                label=labels["test"],
                predicted=predicted["test"],
                surrogate_predicted=run.array(layout.surrogate(c, layout.TEST_LOGITS)).argmax(axis=1),
                confidence=confidence,
                margin=margin,
                n_classes=len(self.classes),
                sources=self.outcomes.sources["test"].lookup,
            )
            for c in self.c_values
        }

    def __repr__(self) -> str:
        """Return id and sizes of the run, for the end of a notebook's cell."""
        return (
            f"<{type(self).__name__} of run '{self.id}': {self.n_train:,} training and {self.n_test:,} test images, "
            f"{len(self.classes)} classes; C = {', '.join(f'{c:g}' for c in self.c_values)}>"
        )

    def gallery(
        self,
        choice: GalleryFilter | None = None,
        *,
        c: float | None = None,
        order: GalleryOrder = "index",
        limit: int = 60,
        cursor: str | None = None,
    ) -> GalleryPage:
        """Return one page of the test images that match a filter.

        Raises
        ------
        NotFoundError
            If there is no such class or C.
        InvalidRequestError
            If the cursor does not belong to the list, or the limit or the margin is out of range.
        """
        choice = choice or GalleryFilter()
        check_filter(choice, self.bounds)
        self.bounds.check_limit(limit, 1)
        return self._galleries[self.bounds.resolve_c(c)].page(choice, order, limit, cursor)

    def neighbours(
        self, test: int, choice: GalleryFilter | None = None, *, c: float | None = None, order: GalleryOrder = "index"
    ) -> tuple[int | None, int | None]:
        """Return the test images before and after one in a filtered list."""
        choice = choice or GalleryFilter()
        self.bounds.check_image("test", test)
        check_filter(choice, self.bounds)
        return self._galleries[self.bounds.resolve_c(c)].neighbours(test, choice, order)

    def image(self, split: Split, index: int) -> tuple[bytes, str]:
        """Return the original image as it is stored, and its media type.

        Raises
        ------
        NotFoundError
            If there is no such image.
        """
        self.bounds.check_image(split, index)
        return self.images.original(split, index)

    def source(self, split: Split, index: int) -> str | None:
        """Return the source of an image, None if the run does not record it; errors as for ``image``."""
        self.bounds.check_image(split, index)
        return self.outcomes.sources[split].one(index)

    def find(self, split: Split, text: str) -> int:
        """Return the one image with this number, source, or end of a source; NotFoundError if none or several fit."""
        if text.removeprefix("-").isdecimal():
            self.bounds.check_image(split, number := int(text[:19]))
            return number
        return self.outcomes.sources[split].find(text)

    @property
    def left_out(self) -> tuple[LeftOutImage, ...]:
        """The unusable images that the build left out."""
        return read_left_out(self.run)

    @property
    def train_labels(self) -> NDArray[np.int64]:
        """Labels of the training images, shape (N,); do not change them."""
        return self.labels("train")

    @property
    def train_features(self) -> NDArray[np.float32]:
        """Features of the training images, shape (N, d), mapped from their file."""
        return self.run.array(layout.features("train"))

    def entry(self, c: float | None = None) -> SurrogateEntry:
        """Return the manifest's entry for the surrogate of a C; NotFoundError if there is none."""
        return self.surrogates[self.c_values.index(self.bounds.resolve_c(c))]

    def certificate(self, c: float | None = None) -> CertificateEntry:
        """Return how well a surrogate is solved: primal, dual, gap, support size; NotFoundError without such a C."""
        return self.entry(c).certificate

    def fidelity(self, *, c: float | None = None) -> float:
        """Return the share of test images on which surrogate and network predict the same class."""
        return self.entry(c).agreement

    def label(self, split: Split, index: int) -> int:
        """Return the label of an image in the data set."""
        self.bounds.check_image(split, index)
        return int(self.outcomes.labels[split][index])

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Return the labels of all images of a split in the data set, shape (N,); do not change them."""
        return self.outcomes.labels[split]

    def predicted(self, split: Split, index: int) -> int:
        """Return the class that the network predicts on an image; errors as for ``image``."""
        self.bounds.check_image(split, index)
        return int(self.outcomes.predicted[split][index])

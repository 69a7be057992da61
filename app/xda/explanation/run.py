"""An open run that explains its test images, for page, JSON and command line.

In: a run folder. Out: the frozen types of ``xda.attribution.results``; heat-maps as futures.
The calling thread computes everything but heat-maps, from memory-mapped arrays and the features of the support vectors
on the device; an ``Explainer`` is safe to use from many threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from xda.attribution.decomposition import Decomposition, self_influence
from xda.attribution.results import Explanation, PairRelevance, TestInfluence, TrainingSample
from xda.decision import Decision, class_number
from xda.errors import InvalidRequestError, NoHeatmapsError, NoNetworkError, RunError
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.heatmaps import Heatmaps, MapCache, MapRequest
from xda.explanation.illustration import Panel, run_panel
from xda.explanation.map_requests import own_request, pair_requests
from xda.explanation.open_run import OpenRun
from xda.explanation.surrogate import ServedSurrogate
from xda.networks.device import resolve_device
from xda.relevance.model import RelevanceModel
from xda.runs.copies import copies_of
from xda.runs.foreign_errors import contained
from xda.runs.network import open_model, refuse_foreign_weights
from xda.settings import DeviceChoice
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


class Explainer(OpenRun):
    """An open run that explains its test images; ``Explainer.open`` makes it.

    Attributes
    ----------
    no_heatmaps : str
        Reason why the run has no heat-maps; empty if it has them.
    composite : str
        Names of the heat-maps' rules; empty without heat-maps.
    """

    def __init__(
        self,
        run: RunFolder,
        model: RelevanceModel | None,
        device: torch.device,
        device_queue: DeviceQueue,
        cache: MapCache | None,
        no_network: str = "",
    ) -> None:
        super().__init__(run, cache)
        # the run's record wins, so shared links keep showing what they showed
        self.no_heatmaps = run.manifest.no_heatmaps or (no_network if model is None else model.refusal)
        self.composite = "" if self.no_heatmaps or model is None else model.composite
        self._model = model
        self._owns_queue = False
        self._queue = device_queue
        self.heatmaps = Heatmaps(model, device_queue, cache)
        labels, sources = self.labels("train"), self.outcomes.sources["train"]
        self._served = {c: ServedSurrogate(run, c, labels, device, sources.lookup) for c in self.c_values}

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        device: DeviceChoice = "auto",
        cache: MapCache | None = None,
        device_queue: DeviceQueue | None = None,
        allow_factory: Sequence[str] = (),
    ) -> Explainer:
        """Open a run folder, check it whole, and let its network answer once.

        A run whose network cannot be made here, say because the module of its factory is missing, is opened without
        heat-maps; ``no_heatmaps`` says why.

        Parameters
        ----------
        path : str or Path
            A run folder written by ``xda build``.
        device : {"auto", "cpu", "cuda"}
        cache : MapCache, optional
            Keeps heat-maps across restarts.
        device_queue : DeviceQueue, optional
            Shared with the other runs on the device; by default one of its own, ended by ``close``.
        allow_factory : sequence of str
            Modules that you trust: if the run names a factory in one of them, it is imported. A package includes all
            modules in it. Default: none.

        Raises
        ------
        RunError
            The folder is no run, is damaged or of another version, or its weights do not produce its features.
        ConfigError
            This machine lacks the device.
        """
        where = resolve_device(device)
        with contained(lambda said: RunError(f"{path}: this run cannot be opened: {said}.")):
            run = RunFolder.open(Path(path))
            model, no_network = None, ""
            try:
                model = open_model(run, where, allow_factory)
                refuse_foreign_weights(run, model)
            except NoNetworkError as error:
                model = None
                no_network = f"Heat-maps are not available here: this run's network cannot be made. {error.reason}"
            queue = device_queue or DeviceQueue()
            try:
                explainer = cls(run, model, where, queue, cache, no_network)
            except BaseException:
                if device_queue is None:
                    queue.close()
                raise
        explainer._owns_queue = device_queue is None
        return explainer

    def close(self) -> None:
        """Free the device and end the explainer's queue; waiting heat-maps end with an error."""
        if self._owns_queue:
            self._queue.close()
        if self._model is not None:
            self._model.close()

    def __enter__(self) -> Explainer:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # Attribution

    def decide(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> Decision:
        """Resolve a person's request to a decision.

        Parameters
        ----------
        test : int or Decision
            Position in the test set; or a decision, which is checked and returned.
        c : float, optional
            Regularisation parameter of the surrogate; default ``default_c``.
        target : int or str, optional
            Class to explain, its number or name; default the class that the network predicts.
        against : int or str, optional
            Contrast class: explain why ``target`` and not ``against``.

        Raises
        ------
        NotFoundError
            If there is no such test image, class or C.
        InvalidRequestError
            If the contrast class is the target, or several classes have the name.
        """
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

    def explain(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        limit: int = 12,
        train_class: int | str | None = None,
    ) -> Explanation:
        """Explain the decision on a test image by ranked contributions of training images.

        Parameters
        ----------
        test, c, target, against
            As for ``decide``.
        limit : int
            Most contributions listed of each sign.
        train_class : int or str, optional
            List only training images with this label; the totals stay over all.

        Raises
        ------
        NotFoundError, InvalidRequestError
            As for ``decide``, and if the limit is negative.
        """
        decomposition = self.decompose(test, c=c, target=target, against=against)
        self.bounds.check_limit(limit)
        if train_class is not None:
            train_class = class_number(train_class, self.classes)
            self.bounds.check_class(train_class)
        return decomposition.explanation(limit, train_class)

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
        served = self.surrogate(c)
        position = served.support.position(index)
        row = served.support.row(index)
        label = int(self.outcomes.labels["train"][index])
        supports: tuple[TestInfluence, ...] = ()
        opposes: tuple[TestInfluence, ...] = ()
        norm = 0.0
        if position is not None:
            rows = np.array([position], dtype=np.int64)
            own = np.array(self.run.array(layout.features("train"))[index])
            norm = float(served.features.products(rows, own)[0])
            if limit > 0:
                values = served.influence(position, self.test_features, self.outcomes.predicted["test"])
                supports, opposes = (self.outcomes.influences(values, limit, sign) for sign in (1, -1))
        return TrainingSample(
            index=index,
            label=label,
            predicted=int(self.outcomes.predicted["train"][index]),
            network_logits=tuple(self.outcomes.logits["train"][index].tolist()),
            c=served.c,
            dual_coef=tuple(row.tolist()),
            is_support=position is not None,
            at_bound=position is not None and bool(served.support.at_bound[position]),
            self_influence=float(self_influence(row[label : label + 1], np.array([norm]))[0]),
            slack=float(served.slack[index]),
            slack_rank=served.slack_rank(index),
            source=self.outcomes.sources["train"].one(index),
            supports=supports,
            opposes=opposes,
            copies=copies_of(
                index,
                self.outcomes.labels["train"],
                self.outcomes.logits["train"],
                self.run.array(layout.features("train")),
            ),
        )

    # Heat-maps

    def relevance(
        self,
        test: int | Decision,
        train: Sequence[int],
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        blank: bool = False,
    ) -> Future[list[PairRelevance]]:
        """Return the two heat-maps of each pair of a test image and training images, in their order.

        Both maps of a pair start from ``R = (alpha_i^c - alpha_i^e) phi(x) * phi(x_i)`` (method section 4) and sum to
        the attribution, less the part of an augmented intercept (``PairRelevance.intercept``). If the run has no
        heat-maps, ``blank`` returns maps of zeros, for pictures.

        Raises
        ------
        NotFoundError, InvalidRequestError
            As for ``decide``, and if there is no such training image.
        NoHeatmapsError
            If the run has none.
        BusyError
            If the queue in front of the device is full.
        """
        decision = self.decide(test, c=c, target=target, against=against)
        self.bounds.check_images("train", train)
        served = self._served[decision.c]
        requests = pair_requests(self.run, self.composite, served, self._query(decision), decision, train)
        return self._maps(decision, requests, blank)

    def own_relevance(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        blank: bool = False,
    ) -> Future[list[PairRelevance]]:
        """Return the LRP map of the surrogate's logit on the test image: the sum of all partners' test-side maps.

        The only element of the result has the map as ``test``, zeros as ``train`` and the logit as ``attribution``; the
        map sums to that less ``intercept``. Errors as for ``relevance``.
        """
        decision = self.decide(test, c=c, target=target, against=against)
        served = self._served[decision.c]
        request = own_request(self.run, self.composite, served, self._query(decision), decision)
        return self._maps(decision, [request], blank)

    def pair_maps(
        self,
        test: int | Decision,
        train: Sequence[int],
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> list[PairRelevance]:
        """Wait for ``relevance`` and return its result."""
        return self.relevance(test, train, c=c, target=target, against=against).result()

    def own_map(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
    ) -> PairRelevance:
        """Wait for ``own_relevance`` and return the only element of its result."""
        return self.own_relevance(test, c=c, target=target, against=against).result()[0]

    def panel(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        limit: int = 4,
    ) -> Panel:
        """Return an explanation with its images and heat-maps, for ``xda.figure``; errors as for ``relevance``."""
        return run_panel(self, self.decide(test, c=c, target=target, against=against), limit=limit)

    def _query(self, decision: Decision) -> NDArray[np.float64]:
        return np.asarray(self.test_features[decision.test], dtype=np.float64)

    def _maps(self, decision: Decision, requests: Sequence[MapRequest], blank: bool) -> Future[list[PairRelevance]]:
        if not self.no_heatmaps:
            return self.heatmaps.request(self.run.image("test", decision.test), requests)
        if not blank:
            raise NoHeatmapsError(self.no_heatmaps)
        empty = np.zeros(self.preprocessing.size, dtype=np.float32)
        future: Future[list[PairRelevance]] = Future()
        future.set_result(
            [PairRelevance(each.train_index, empty, empty, each.attribution, each.intercept) for each in requests]
        )
        return future

    def surrogate(self, c: float | None = None) -> ServedSurrogate:
        """Return the surrogate of a C, with weights, support set and slacks; NotFoundError if there is none."""
        return self._served[self.bounds.resolve_c(c)]

    def slack(self, c: float | None = None) -> NDArray[np.float32]:
        """Return the hinge loss of every training image, shape (N,): large if mislabelled, ambiguous or hard."""
        return self.surrogate(c).slack

    def self_influence(self, c: float | None = None) -> NDArray[np.float64]:
        """Return ``alpha_i^{y_i} |z_i|^2`` of every training image, shape (N,) (method section 2)."""
        return self.surrogate(c).self_influence(self.train_features)

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

from xda.attribution.ranking import Rank
from xda.attribution.results import PairRelevance
from xda.decision import Decision
from xda.errors import NoHeatmapsError, NoNetworkError, RunError
from xda.explanation.attributed_run import AttributedRun
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.heatmaps import Heatmaps, MapCache, MapRequest
from xda.explanation.illustration import Panel, run_panel
from xda.explanation.map_requests import evidence_requests, own_request, pair_requests
from xda.networks.device import resolve_device
from xda.relevance.relevance_model import RelevanceModel
from xda.runs.foreign_errors import contained
from xda.runs.network import open_model, refuse_foreign_weights
from xda.settings import DeviceChoice
from xda.storage.run.folder import RunFolder


class Explainer(AttributedRun):
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
        super().__init__(run, device, cache)
        # the run's record wins, so shared links keep showing what they showed
        self.no_heatmaps = run.manifest.no_heatmaps or (no_network if model is None else model.refusal)
        self.composite = "" if self.no_heatmaps or model is None else model.composite
        self._model = model
        self._owns_queue = False
        self._queue = device_queue
        self.heatmaps = Heatmaps(model, device_queue, cache)

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
        """Close the explainer."""
        self.close()

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
        rank: Rank = "sum",
    ) -> Future[list[PairRelevance]]:
        """Return the two heat-maps of each pair of a test image and training images, in their order.

        Both maps of a pair start from ``R = (alpha_i^c - alpha_i^e) phi(x) * phi(x_i)`` (method section 4) and sum to
        the attribution, less the part of an augmented intercept (``PairRelevance.intercept``). If the run has no
        heat-maps, ``blank`` returns maps of zeros, for pictures. In the ranking ``image`` the map on the training image
        sums to ``specific``, in the ranking ``removal`` to minus ``removal_effect`` (less the intercept's part); the
        map on the test image stays as it is.

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
        requests = pair_requests(self.run, self.composite, served, self._query(decision), decision, train, rank)
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

    def evidence_relevance(
        self,
        test: int | Decision,
        *,
        c: float | None = None,
        target: int | str | None = None,
        against: int | str | None = None,
        blank: bool = False,
    ) -> Future[list[PairRelevance]]:
        """Return the test image's own map, then those of all supporting and of all opposing training images on it.

        Each has its map as ``test``, zeros as ``train`` and the sum of its contributions as ``attribution``. The first
        is that of ``own_relevance``; the other two add to it. All come from one pass. Errors as for ``relevance``.
        """
        decision = self.decide(test, c=c, target=target, against=against)
        served = self._served[decision.c]
        asked = self.run, self.composite, served, self._query(decision), decision
        return self._maps(decision, [own_request(*asked), *evidence_requests(*asked)], blank)

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

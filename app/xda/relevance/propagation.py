"""Propagates relevance through a whole network: forward once per image, backward once per seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from xda.relevance.canonize import Canonization
from xda.relevance.nodes import call
from xda.relevance.rules import Terms

_OWN_BLOCK = 4
"""Number of seeds on one image from which they share its activations without copies."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A forward pass over m images."""

    features: torch.Tensor
    """phi(x), shape (m, d)."""
    terms: dict[fx.Node, Terms]
    """The values that each step needs to propagate relevance."""

    @property
    def nbytes(self) -> int:
        """Memory in use, in bytes; tensors that several steps keep count once."""
        kept = {value.data_ptr(): value.nbytes for terms in self.terms.values() for value in terms}
        return sum(kept.values())


class Propagator:
    """Runs the steps of a canonized network.

    Parameters
    ----------
    canonization : Canonization
    """

    def __init__(self, canonization: Canonization) -> None:
        self._steps = canonization.steps
        nodes = list(canonization.recorded.graph.nodes)
        self._input = next(node for node in nodes if node.op == "placeholder")
        (self._features,) = nodes[-1].args
        needed = {self._features}
        for node in reversed(nodes):
            if node in needed:
                needed.update(node.all_input_nodes)
        self._nodes = [node for node in nodes if node in needed]
        last_use: dict[fx.Node, fx.Node] = {}
        for node in self._nodes:
            step = self._steps.get(node)
            last_use.update(dict.fromkeys((*node.all_input_nodes, *(step.inputs if step else ())), node))
        self._finished: dict[fx.Node, list[fx.Node]] = {}
        for value, node in last_use.items():
            self._finished.setdefault(node, []).append(value)

    @torch.no_grad()
    def record(self, images: torch.Tensor) -> Recording:
        """Run the forward pass of images and keep the values that relevance needs.

        Parameters
        ----------
        images : torch.Tensor
            Shape (m, C, H, W).
        """
        values: dict[fx.Node, Any] = {self._input: images}
        terms: dict[fx.Node, Terms] = {}
        for node in self._nodes:
            step = self._steps.get(node)
            if step is not None:
                values[node], terms[node] = step.layer.run(*(values[source] for source in step.inputs))
            elif node is not self._input:
                values[node] = self._compute(node, values)
            for value in self._finished.get(node, ()):
                del values[value]
        return Recording(values[self._features], terms)

    @torch.no_grad()
    def propagate(self, recording: Recording, seeds: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Propagate relevance from the features to the inputs.

        Parameters
        ----------
        recording : Recording
            Of m images.
        seeds : torch.Tensor
            Relevance of the features, shape (n, d).
        rows : torch.Tensor
            int64, shape (n,): on which of the images each seed is.

        Returns
        -------
        torch.Tensor
            Relevance of the inputs, shape (n, C, H, W).
        """
        parts, places = [], []
        for chosen, images in _blocks(rows, len(recording.features)):
            parts.append(self._propagate_block(recording, seeds[chosen], images))
            places.append(torch.arange(len(seeds), device=seeds.device)[chosen])
        if len(parts) == 1:
            return parts[0]
        relevance = torch.empty((len(seeds), *parts[0].shape[1:]), dtype=seeds.dtype, device=seeds.device)
        for place, part in zip(places, parts, strict=True):
            relevance[place] = part
        return relevance

    def _propagate_block(self, recording: Recording, seeds: torch.Tensor, images: Any) -> torch.Tensor:
        """Propagate seeds to their images, chosen by an index, or all to the one image of a slice."""
        relevance = {self._features: seeds}
        for node, step in reversed(self._steps.items()):
            arrived = relevance.pop(node, None)
            if arrived is None:
                continue
            terms = tuple(term[images].expand(len(seeds), *term.shape[1:]) for term in recording.terms[node])
            for source, part in zip(step.inputs, step.layer.propagate(terms, arrived), strict=False):
                relevance[source] = relevance[source] + part if source in relevance else part
        return relevance[self._input]

    def _compute(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Compute a node that passes no relevance."""
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "placeholder":
            return node.args[0] if node.args else None
        if node.op == "get_attr":
            return node.meta["constant"]
        return call(node, args, kwargs)


def _blocks(rows: torch.Tensor, m: int) -> Iterator[tuple[Any, Any]]:
    """Group seeds that can share activations; yields the seeds of a group and the images that they belong to."""
    counts = torch.bincount(rows, minlength=m)
    crowded = (counts >= _OWN_BLOCK).nonzero().flatten().tolist()
    for image in crowded:
        yield rows == image, slice(image, image + 1)
    rest = counts[rows] < _OWN_BLOCK
    if not bool(rest.any()):
        return
    images = rows[rest]
    first = int(images[0])
    follow = torch.equal(images, torch.arange(first, first + len(images), device=rows.device))
    yield rest, slice(first, first + len(images)) if follow else images

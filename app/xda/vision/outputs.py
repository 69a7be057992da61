"""What a network returns, compared with the scores of a linear layer in it: the same, or their softmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Literal

import torch

_RTOL = 1e-3
"""Largest deviation at which two outputs are the same one, relative to the largest value."""

Form = Literal["scores", "softmax", "log-softmax"]
"""What a network's output is of its head's scores; each gives the same decision."""


def tensors(output: object) -> Iterator[torch.Tensor]:
    """Yield the tensors in what a network returns, those called logits first."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for name in sorted(output, key=lambda name: name != "logits"):
            yield from tensors(output[name])
    elif isinstance(output, tuple | list):
        for part in output:
            yield from tensors(part)
    elif is_dataclass(output):
        yield from tensors({field.name: getattr(output, field.name) for field in fields(output)})


def form_of(output: torch.Tensor, scores: torch.Tensor) -> Form | None:
    """Return what an output is of the scores (B, K) of a layer; None if it is something else."""
    if output.shape != scores.shape:
        return None
    candidates: dict[Form, torch.Tensor] = {
        "scores": scores,
        "softmax": scores.softmax(1),
        "log-softmax": scores.log_softmax(1),
    }
    return next((form for form, candidate in candidates.items() if _close(output, candidate)), None)


def remark(outputs: Sequence[torch.Tensor], scores: torch.Tensor, head: str, *, chosen: bool) -> str:
    """Say what a person should know of a network that returns more, or something else, than its head's scores.

    Parameters
    ----------
    outputs : sequence of torch.Tensor
        What the network returns.
    scores : torch.Tensor
        Those of the head on the same images, shape (B, K).
    head : str
        Its name.
    chosen : bool
        Whether somebody named it, rather than it was found.

    Returns
    -------
    str
        One or two sentences; empty where the network returns just the scores, or other things beside that have not
        one value for each class.
    """
    forms = [form_of(output, scores) for output in outputs if output.shape == scores.shape]
    sentences = []
    found = {form for form in forms if form is not None}
    if found and "scores" not in found:
        sentences.append(
            f"The network ends in a {min(found)}; the logits here are those of the linear layer '{head}' before it."
        )
    if None in forms and not chosen:
        sentences.append(
            f"The network returns {len(forms)} outputs with one value for each class; that of the linear layer "
            f"'{head}' is explained, and `head` in [network] names another."
        )
    return " ".join(sentences)


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() <= _RTOL * b.abs().max().clamp_min(1e-12)) if b.numel() else True

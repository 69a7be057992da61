"""Recognises whether a network returns the scores of one of its linear layers, or their softmax.

A network of two classes may instead return one value: the second logit minus the first, or its sigmoid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Literal

import torch

_RTOL = 1e-3
"""Largest deviation of two outputs that count as equal, relative to the largest value."""

Form = Literal["scores", "softmax", "log-softmax", "difference", "sigmoid"]
"""Functions of the head's scores that a network may return; each gives the same decision.

The last two are for two classes: the second score minus the first, and its sigmoid, which is the softmax of the second
class. The network decides for the second class if the difference is positive.
"""


def tensors(output: object) -> Iterator[torch.Tensor]:
    """Yield the tensors that a network returns, those named logits first."""
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
    """Return the form in which an output gives the scores (B, K) of a layer; None for any other output."""
    candidates: dict[Form, torch.Tensor]
    if output.shape == scores.shape:
        candidates = {"scores": scores, "softmax": scores.softmax(1), "log-softmax": scores.log_softmax(1)}
    elif is_single(output) and scores.shape == (len(output), 2):
        difference = scores[:, 1] - scores[:, 0]
        output = output.flatten()
        if _close(output, difference):
            return "difference"
        # minus a half: relative to their size, all sigmoids of small scores are nearly equal
        rounding = 4 * torch.finfo(output.dtype).eps if output.dtype.is_floating_point else 0.0
        return "sigmoid" if _close(output - 0.5, difference.sigmoid() - 0.5, atol=rounding) else None
    else:
        return None
    return next((form for form, candidate in candidates.items() if _close(output, candidate)), None)


def is_single(output: torch.Tensor) -> bool:
    """Whether an output is one value for each image, shape (B,) or (B, 1)."""
    return output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1)


def remark(outputs: Sequence[torch.Tensor], scores: torch.Tensor, head: str, *, chosen: bool) -> str:
    """Describe, in words for the user, an output that is not just the head's scores.

    Parameters
    ----------
    outputs : sequence of torch.Tensor
        What the network returns.
    scores : torch.Tensor
        Those of the head on the same images, shape (B, K).
    head : str
        Its name.
    chosen : bool
        Whether the user named the head.

    Returns
    -------
    str
        One or two sentences; empty if the network returns just the scores, or only other outputs beside them that do
        not have one value for each class.
    """
    found = {form for output in outputs if (form := form_of(output, scores)) is not None}
    alike = [form_of(output, scores) for output in outputs if output.shape == scores.shape]
    sentences = []
    if found and not bool(scores[:, 0].any()) and found <= {"difference", "sigmoid"}:
        what = "the sigmoid of one logit" if "sigmoid" in found else "one logit"
        sentences.append(
            f"The network returns {what}; the logits here are 0 for the first class and, for the second, that of the "
            f"linear layer '{head}'{' before the sigmoid' if 'sigmoid' in found else ''}."
        )
    elif found == {"difference"}:
        sentences.append(
            f"The network returns the difference of two logits; the logits here are those of the linear layer '{head}' "
            "before it."
        )
    elif found and "scores" not in found:
        sentences.append(
            f"The network ends in a {min(found)}; the logits here are those of the linear layer '{head}' before it."
        )
    if None in alike and not chosen:
        sentences.append(
            f"The network returns {len(alike)} outputs with one value for each class; that of the linear layer "
            f"'{head}' is explained, and `head` in [network] names another."
        )
    return " ".join(sentences)


def _close(a: torch.Tensor, b: torch.Tensor, atol: float = 0.0) -> bool:
    return bool((a - b).abs().max() <= _RTOL * b.abs().max().clamp_min(1e-12) + atol) if b.numel() else True

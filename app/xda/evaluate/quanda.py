"""DualDA as an explainer of quanda, a toolkit that evaluates training data attribution (PyPI: quanda).

quanda's metrics and benchmarks make an explainer from a model and its training set, ask it for a dense matrix of
attributions (test images, training images), and for the self-influence of every training image. This is the only module
that needs the extra ``quanda``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from xda.explanation.fit import explain
from xda.progress import Progress, silent

try:
    from quanda.explainers import Explainer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"QuandaExplainer needs the package quanda ({error}); install it with two commands: "
        "pip install 'dualxda-explorer[quanda]', then pip install --no-deps 'quanda==0.5.*' 'captum==0.8.*'.",
        name=error.name,
    ) from error


class QuandaExplainer(Explainer):  # type: ignore[misc]
    """DualDA with quanda's interface: returns the exact shares of the surrogate's logit.

    Parameters
    ----------
    model : torch.nn.Module
        Trained classifier with a linear head.
    train_dataset : torch.utils.data.Dataset
        Its training set: items (image tensor in the model's form, label), without augmentation.
    task : {"image_classification"}
    checkpoints, checkpoints_load_func
        As for every explainer of quanda; the model gets the last checkpoint's weights.
    c : float
        Regularisation parameter of the surrogate; larger is sparser.
    tol : float
        Relative duality gap to reach.
    progress : Progress
        Receives the progress of features and fit; default: silent.

    Attributes
    ----------
    fitted : ModelExplainer
        The surrogate, for its certificate and fidelity.

    Raises
    ------
    ConfigError, DataError
        As for ``xda.explain``.
    """

    accepted_tasks = ["image_classification"]  # noqa: RUF012 - quanda declares it as a plain list

    def __init__(
        self,
        model: torch.nn.Module,
        train_dataset: torch.utils.data.Dataset[Any],
        task: str = "image_classification",
        checkpoints: str | list[str] | None = None,
        checkpoints_load_func: Callable[..., Any] | None = None,
        *,
        c: float = 1e-3,
        tol: float = 1e-6,
        progress: Progress = silent,
    ) -> None:
        super().__init__(
            model=model,
            train_dataset=train_dataset,
            task=task,
            checkpoints=checkpoints,
            checkpoints_load_func=checkpoints_load_func,
        )
        if self.checkpoints:
            self.load_last_checkpoint()
        self.fitted = explain(model, train_dataset, c=c, tol=tol, progress=progress)

    def explain(self, test_data: torch.Tensor, targets: Sequence[int] | torch.Tensor | None = None) -> torch.Tensor:
        """Return the attributions of all training images to the decisions on test images.

        Parameters
        ----------
        test_data : torch.Tensor
            Test images as the model takes them, shape (B, C, H, W).
        targets : sequence of int or torch.Tensor, optional
            Class to explain for each; default: the predicted class.

        Returns
        -------
        torch.Tensor
            float32, shape (B, N), on the model's device; mostly exactly zero, each row sums to the surrogate's logit.
        """
        chosen = None if targets is None else torch.as_tensor(targets).flatten().tolist()
        found = self.fitted.attributions(test_data, target=chosen)
        return torch.from_numpy(found.toarray()).float().to(self.device)

    def self_influence(self, batch_size: int = 32) -> torch.Tensor:
        """Return ``alpha_i^{y_i} |z_i|^2`` of every training image, float32, shape (N,); batches are not needed."""
        return torch.from_numpy(self.fitted.self_influence()).float().to(self.device)

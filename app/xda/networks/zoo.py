"""Builds networks defined elsewhere: models of torchvision and timm by name, and networks of the user's factory.

This module makes only the architecture and downloads nothing. Weights come from a checkpoint, from
``xda.networks.pretrained`` or, in a run, from the run itself.
"""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from torch import nn

from xda.data.preprocessing import Preprocessing
from xda.errors import ConfigError
from xda.plugins import call_factory

KINDS: Final = ("torchvision", "timm", "factory")
"""Sources of networks other than presets."""

_RESERVED = {
    "torchvision": ("weights", "weights_backbone", "num_classes", "progress"),
    "timm": ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes"),
    "factory": (),
}
"""Arguments that would bring other weights or another number of classes."""
_TAKEN = {
    "torchvision": frozenset(
        {
            *("alpha", "attention_dropout", "aux_logits", "block_config", "bn_size", "dilated", "drop_rate", "dropout"),
            *("dropout_aux", "groups", "growth_rate", "image_size", "init_weights", "input_size", "layer_scale"),
            *("memory_efficient", "mlp_dropout", "num_init_features", "patch_size", "reduced_tail"),
            *("replace_stride_with_dilation", "representation_size", "round_nearest", "stem_channels"),
            *("stochastic_depth_prob", "transform_input", "width_mult", "width_per_group", "window_size"),
            "zero_init_residual",
        }
    ),
    "timm": frozenset(
        {
            *("aa_layer", "act_layer", "attn_drop_rate", "attn_layer", "avg_down", "base_width", "block_config"),
            *("block_reduce_first", "bn_eps", "bn_momentum", "bn_size", "bn_tf", "cardinality", "channel_multiplier"),
            *("class_token", "conv_mlp", "depth", "depth_multiplier", "depths", "dims", "down_kernel_size"),
            *("drop_block_rate", "drop_path_rate", "drop_rate", "dynamic_img_size", "embed_dim", "embed_dims"),
            *("fc_norm", "fix_stem", "global_pool", "growth_rate", "head_bias", "head_hidden_size", "head_init_scale"),
            *("head_norm_first", "img_size", "in_chans", "init_values", "kernel_sizes", "layers", "ls_init_value"),
            *("memory_efficient", "mlp_ratio", "no_embed_class", "norm_eps", "norm_layer", "num_heads"),
            *("output_stride", "pad_type", "patch_drop_rate", "patch_size", "pos_drop_rate", "pos_embed", "pre_norm"),
            *("proj_drop_rate", "qk_norm", "qkv_bias", "reg_tokens", "stem_size", "stem_type", "stem_width"),
            *("strict_img_size", "use_abs_pos_emb", "use_rel_pos_bias", "weight_init", "width_mult", "window_size"),
            "zero_init_last",
        }
    ),
}
"""Arguments that are passed on: each describes the architecture, and none makes the package load a file or make a
request. A run may name other arguments, which a later version of the package may have."""
_SLOW_INITIALISATION = ("googlenet", "inception_v3")
"""torchvision would draw their first weights for minutes; all weights are replaced anyway."""


def build_foreign(kind: str, name: str, n_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """Return a network with fresh weights.

    Parameters
    ----------
    kind : {"torchvision", "timm", "factory"}
    name : str
        Name of the model, or ``module:function``.
    n_classes : int
    arguments : mapping
        Further keyword arguments of the model.

    Raises
    ------
    ConfigError
        If the kind, the name or an argument is unknown, or a package is missing; the message says which.
    """
    builders: dict[str, Callable[[str, int, Mapping[str, Any]], nn.Module]] = {
        "torchvision": _torchvision,
        "timm": _timm,
        "factory": lambda name, n_classes, arguments: call_factory(name, nn.Module, arguments, n_classes),
    }
    if kind not in builders:
        raise ConfigError(f"There is no network kind '{kind}'; known are: preset, {', '.join(KINDS)}.")
    for key in _RESERVED[kind]:
        one_logit = key == "num_classes" and n_classes == 2 and arguments.get(key) == 1
        if key in arguments and not one_logit:
            raise ConfigError(
                f"The network argument '{key}' cannot be given: weights come from the checkpoint and the number of "
                "classes from the data set (num_classes = 1 can, for a network of two classes with one logit)."
            )
    foreign = sorted(arguments.keys() - _TAKEN.get(kind, arguments.keys()) - set(_RESERVED[kind]))
    if foreign:
        raise ConfigError(
            f"The network argument '{foreign[0]}' is not supported for models of {kind}; supported are "
            f"{', '.join(sorted(_TAKEN[kind]))}. Make the model in a factory of your own."
        )
    return builders[kind](name, n_classes, arguments)


def require_model(kind: str, name: str) -> None:
    """Refuse an unknown model name of torchvision or timm.

    Raises
    ------
    ConfigError
        If there is no such model, or timm is not installed.
    """
    if kind == "torchvision":
        from torchvision import models

        names = models.list_models(module=models)
        if name not in names:
            raise ConfigError(f"torchvision has no classification model '{name}'{_suggestion(name, names)}")
        return
    timm = _import_timm(name)
    if not timm.is_model(name.partition(".")[0]):
        raise ConfigError(f"timm has no model '{name}'{_suggestion(name, timm.list_models())}")


def own_preprocessing(kind: str, name: str, network: nn.Module, weights: str = "") -> Preprocessing | None:
    """Return the makers' transform of a model; None if there is none.

    Parameters
    ----------
    kind : {"torchvision", "timm", "factory"}
    name : str
    network : nn.Module
        The model, built.
    weights : str
        Name of its torchvision weights; by default the newest.

    Raises
    ------
    ConfigError
        If the transform has steps that the product does not know.
    """
    if kind == "torchvision":
        return _torchvision_preprocessing(name, weights)
    return _timm_preprocessing(name, network) if kind == "timm" else None


def _torchvision(name: str, n_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    from torchvision import models

    require_model("torchvision", name)
    given: dict[str, Any] = {"init_weights": False} if name in _SLOW_INITIALISATION else {}
    given |= {"num_classes": n_classes, **arguments}
    return _called(lambda: models.get_model(name, **given), name)


def _timm(name: str, n_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    require_model("timm", name)
    timm = _import_timm(name)
    given = {"num_classes": n_classes, **arguments}
    return _called(lambda: timm.create_model(name, pretrained=False, **given), name)


def _import_timm(name: str) -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ConfigError(
            f"The network '{name}' needs the package timm, which cannot be imported ({error}); install it with "
            "`pip install 'dualxda-explorer[timm]'`."
        ) from None


def _called(build: Callable[[], Any], name: str) -> nn.Module:
    # a model's constructor may raise any error for unsuitable arguments
    try:
        network = build()
    except Exception as error:
        raise ConfigError(f"The network '{name}' cannot be made: {type(error).__name__}: {error}.") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"The network '{name}' is a {type(network).__name__}, not a torch.nn.Module.")
    return network


def _suggestion(name: str, names: Sequence[str]) -> str:
    """Return the end of a sentence about an unknown name."""
    close = difflib.get_close_matches(name, names, n=3)
    return (
        f"; did you mean {' or '.join(repr(other) for other in close)}?"
        if close
        else "; look for its name in the package."
    )


def _torchvision_preprocessing(name: str, weights: str) -> Preprocessing | None:
    """Read ``<Model>_Weights.DEFAULT.transforms()``, torchvision's ``ImageClassification`` preset."""
    from torchvision import models

    known: Any = models.get_model_weights(name)
    chosen = getattr(known, weights or "DEFAULT", None)
    if chosen is None:
        return None
    transform = chosen.transforms()
    return Preprocessing(
        mode="RGB",
        size=(int(transform.crop_size[0]), int(transform.crop_size[-1])),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        resize=int(transform.resize_size[0]),
        interpolation=transform.interpolation.value,
    )


def _timm_preprocessing(name: str, network: nn.Module) -> Preprocessing:
    """Read timm's data configuration as ``timm.data.create_transform`` does for evaluation."""
    config = importlib.import_module("timm.data").resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    mode, share = config["crop_mode"], config["crop_pct"]
    if mode == "squash" and share == 1:
        resize = None
    elif mode == "center" and height == width:
        resize = math.floor(height / share)
    else:
        raise ConfigError(
            f"The transform of '{name}' cannot be followed (crop mode '{mode}', {height} × {width} pixels); describe "
            "one in [network.preprocessing]."
        )
    return Preprocessing(
        mode="L" if channels == 1 else "RGB",
        size=(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize=resize,
        interpolation=config["interpolation"],
    )

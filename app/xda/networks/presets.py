"""Networks that the product can train by itself, with their preprocessing and training recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from xda.data.preprocessing import Preprocessing
from xda.errors import ConfigError
from xda.networks.zoo import build_foreign

MODEL = "tf_efficientnet_lite0"
"""timm's name of EfficientNet-Lite0 with the padding of the weights that Google published."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The training of a preset: AdamW with a one-cycle learning rate."""

    epochs: int
    peak_lr: float
    batch_size: int = 128
    weight_decay: float = 0.01
    warm_up: float = 0.2
    """Share of the steps in which the learning rate rises."""
    crop_padding: int = 0
    """Zero padding in pixels for random crops; 0 means no cropping."""
    flip: bool = False
    """Whether images are mirrored at random."""
    autocast: bool = False
    """Whether convolutions and products compute in bfloat16; weights stay float32."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A network that the product can train by itself."""

    name: str
    title: str
    dataset: str
    build: Callable[[int], nn.Module]
    preprocessing: Preprocessing
    recipe: Recipe
    starts_from_imagenet: bool = False
    """Whether training starts from ImageNet's weights, with a head fitted on the features; else from random ones."""


def get_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises
    ------
    ConfigError
        There is no preset of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no network preset '{name}'; known are: {', '.join(PRESETS)}.")
    return PRESETS[name]


def _mnist_cnn(n_classes: int) -> nn.Module:
    """Build the paper's network for MNIST (method section 5)."""
    return nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.ReLU(),
        nn.Conv2d(5, 10, 3),
        nn.ReLU(),
        nn.Conv2d(10, 5, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 22 * 22, 500),
        nn.ReLU(),
        nn.Linear(500, 100),
        nn.ReLU(),
        nn.Linear(100, n_classes),
    )


def _fashion_cnn(n_classes: int) -> nn.Module:
    """Build two convolutions with pooling and a hidden layer, with more channels than for digits at a similar cost."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, n_classes),
    )


def _cifar_resnet18(n_classes: int) -> nn.Module:
    """Build torchvision's ResNet-18 with a first convolution for 32 x 32 images (method section 5)."""
    from torchvision.models import resnet18

    network: nn.Module = resnet18(num_classes=n_classes)
    network.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    return network


def _efficientnet_lite0(n_classes: int) -> nn.Module:
    """Build timm's EfficientNet-Lite0 with the padding of the published weights; it has no squeeze-excite."""
    return build_foreign("timm", MODEL, n_classes, {})


_ALL = (
    Preset(
        name="mnist-cnn",
        title="MNIST · CNN of the DualXDA paper",
        dataset="mnist",
        build=_mnist_cnn,
        preprocessing=Preprocessing(mode="L", size=(28, 28), mean=(0.1307,), std=(0.3081,)),
        recipe=Recipe(epochs=4, peak_lr=2e-3),
    ),
    Preset(
        name="fashion-mnist-cnn",
        title="Fashion-MNIST · CNN",
        dataset="fashion-mnist",
        build=_fashion_cnn,
        preprocessing=Preprocessing(mode="L", size=(28, 28), mean=(0.286,), std=(0.353,)),
        recipe=Recipe(epochs=6, peak_lr=3e-3, flip=True),
    ),
    Preset(
        name="cifar10-resnet18",
        title="CIFAR-10 · ResNet-18",
        dataset="cifar10",
        build=_cifar_resnet18,
        preprocessing=Preprocessing(
            mode="RGB", size=(32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
        ),
        recipe=Recipe(
            epochs=18, peak_lr=2e-3, weight_decay=0.05, warm_up=0.3, crop_padding=4, flip=True, autocast=True
        ),
    ),
    Preset(
        name="clothing-efficientnet-lite0",
        title="Clothing · EfficientNet-Lite0",
        dataset="clothing",
        build=_efficientnet_lite0,
        preprocessing=Preprocessing(
            mode="RGB", size=(224, 224), mean=(0.5,) * 3, std=(0.5,) * 3, resize=256, interpolation="bicubic"
        ),
        recipe=Recipe(
            epochs=3, peak_lr=3e-4, weight_decay=0.05, warm_up=0.2, crop_padding=24, flip=True, batch_size=32
        ),
        starts_from_imagenet=True,
    ),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}
"""All presets by name."""

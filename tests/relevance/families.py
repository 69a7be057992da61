"""A small network of each family with heat-maps, and the families of torchvision without."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torchvision import models
from torchvision.models import convnext, densenet, resnet, swin_transformer, vgg, vision_transformer
from zennit.canonizers import Canonizer

from tests.reference import canonical
from xda.networks.spec import NetworkSpec, build_network

MERGED, PASSED = "batch norms merged", "batch norms without a layer to merge with passed"
SUMS, GROUPED = "branches summed by Norm", "ZPlusFlat for grouped and pointwise convolutions"
GATES = "gates (squeeze-excite) taken as constant"
OWN_STATISTICS, ATTENTION = "each image's own mean and spread", "uses attention"
WITHOUT_HEAD = "squeezenet1_."
"""Models of torchvision that have no attributions either, see ``test_model_zoo``: their output is not linear."""


def with_statistics(network: nn.Module) -> nn.Module:
    """Give the batch norms statistics and weights as after a training, with some negative scales."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
            module.weight.data.uniform_(0.5, 1.5)
            module.weight.data[::7] *= -1
    return network


def _lively(network: nn.Module) -> nn.Module:
    """Give a network without batch norms larger weights, so that activations do not fade from layer to layer."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return network


def _plain() -> nn.Module:
    return _lively(build_network(NetworkSpec("mnist-cnn", 10)))


def _of_torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    """Return a function that makes a network of torchvision with random weights."""

    def build() -> nn.Module:
        network: nn.Module = models.get_model(name, num_classes=5, **options)
        return network

    return build


def _with_small_classifier(network: nn.Module, n: int) -> nn.Module:
    """Replace the classifier of AlexNet or VGG, which has up to 120 million weights."""
    network.classifier = nn.Sequential(
        *(nn.Linear(n, 24), nn.ReLU(True), nn.Dropout(), nn.Linear(24, 12), nn.ReLU(True), nn.Linear(12, 5))
    )
    return network


def _alexnet() -> nn.Module:
    return _lively(_with_small_classifier(models.AlexNet(num_classes=5), 256 * 36))


def _vgg(batch_norm: bool) -> nn.Module:
    layers = vgg.make_layers([8, "M", 16, 16, "M"], batch_norm)
    return _with_small_classifier(vgg.VGG(layers, num_classes=5, init_weights=False), 16 * 49)


def _as_it_is(network: nn.Module) -> nn.Module:
    return network


def _as_layers(network: nn.Module) -> nn.Module:
    """Return a network of torchvision with the functions at its end as layers, which zennit can see."""
    layers = OrderedDict(network.named_children())
    (last, head) = layers.popitem()
    if isinstance(network, densenet.DenseNet):
        layers["relu"] = nn.ReLU()
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), last: head}
    return nn.Sequential(layers)


@dataclass(frozen=True)
class Family:
    """An architecture, its use with zennit by hand, and the page's words about it."""

    name: str
    build: Callable[[], nn.Module]
    canonizers: Callable[[nn.Module], Sequence[Canonizer]]
    words: tuple[str, ...]
    members: str
    """Pattern for the names of torchvision's models of this family."""
    layers: Callable[[nn.Module], nn.Module] = _as_it_is
    size: int = 32


FAMILIES = (
    Family("plain CNN", _plain, canonical.plain, (), "", size=28),
    Family("AlexNet", _alexnet, canonical.plain, (), "alexnet", size=64),
    Family("VGG", lambda: _vgg(False), canonical.plain, (), r"vgg\d+"),
    Family("VGG with batch norm", lambda: _vgg(True), canonical.plain, (MERGED,), r"vgg\d+_bn"),
    Family(
        "GoogLeNet",
        _of_torchvision("googlenet", init_weights=False),
        canonical.plain,
        (MERGED,),
        "googlenet",
        size=48,
    ),
    Family(
        "Inception v3",
        _of_torchvision("inception_v3", init_weights=False),
        canonical.inception,
        (MERGED,),
        "inception_v3",
        size=75,
    ),
    Family("ResNet-18", _of_torchvision("resnet18"), canonical.resnet, (MERGED, SUMS), "resnet(18|34)", size=48),
    Family("ResNet-50", _of_torchvision("resnet50"), canonical.resnet, (MERGED, SUMS), "resnet(50|101|152)", size=48),
    Family(
        "wide ResNet",
        lambda: resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=5, width_per_group=128),
        canonical.resnet,
        (MERGED, SUMS),
        "wide_resnet.*",
        size=48,
    ),
    Family(
        "ResNeXt",
        lambda: resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=5, groups=8, width_per_group=4),
        canonical.resnet,
        (MERGED, SUMS, GROUPED),
        "resnext.*",
        size=64,
    ),
    Family(
        "RegNetX", _of_torchvision("regnet_x_400mf"), canonical.regnet, (MERGED, SUMS, GROUPED), "regnet_x_.*", size=64
    ),
    Family(
        "RegNetY",
        _of_torchvision("regnet_y_400mf"),
        canonical.regnet,
        (MERGED, SUMS, GROUPED, GATES),
        "regnet_y_.*",
        size=64,
    ),
    Family("DenseNet", _of_torchvision("densenet121"), canonical.densenet, (MERGED, PASSED), "densenet.*", _as_layers),
    Family(
        "MobileNetV2",
        _of_torchvision("mobilenet_v2"),
        canonical.mobilenet,
        (MERGED, SUMS, GROUPED),
        "mobilenet_v2",
        _as_layers,
        size=64,
    ),
    Family(
        "MobileNetV3",
        _of_torchvision("mobilenet_v3_small"),
        canonical.efficientnet,
        (MERGED, SUMS, GROUPED, GATES),
        "mobilenet_v3_.*",
        size=64,
    ),
    Family(
        "MNASNet",
        _of_torchvision("mnasnet0_5"),
        canonical.mnasnet,
        (MERGED, SUMS, GROUPED),
        "mnasnet.*",
        _as_layers,
        size=64,
    ),
    Family(
        "ShuffleNetV2",
        _of_torchvision("shufflenet_v2_x0_5"),
        canonical.plain,
        (MERGED, GROUPED),
        "shufflenet_v2_.*",
        _as_layers,
        size=64,
    ),
    Family(
        "EfficientNet",
        _of_torchvision("efficientnet_b0"),
        canonical.efficientnet,
        (MERGED, SUMS, GROUPED, GATES),
        r"efficientnet_b\d",
        size=64,
    ),
    Family(
        "EfficientNetV2",
        _of_torchvision("efficientnet_v2_s"),
        canonical.efficientnet,
        (MERGED, SUMS, GROUPED, GATES),
        "efficientnet_v2_.",
    ),
)


@dataclass(frozen=True)
class RefusedFamily:
    """An architecture without heat-maps, and a part of its refusal."""

    name: str
    build: Callable[[], nn.Module]
    reason: str
    members: str
    size: int = 32


def _convnext() -> nn.Module:
    settings = [convnext.CNBlockConfig(8, 16, 1), convnext.CNBlockConfig(16, None, 1)]
    network: nn.Module = convnext.ConvNeXt(settings, num_classes=4)
    return network


def _vision_transformer() -> nn.Module:
    network: nn.Module = vision_transformer.VisionTransformer(32, 8, 1, 2, 16, 16, num_classes=4)
    return network


def _swin(**options: Any) -> nn.Module:
    network: nn.Module = swin_transformer.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=4, **options)
    return network


def _swin_v2() -> nn.Module:
    return _swin(block=swin_transformer.SwinTransformerBlockV2, downsample_layer=swin_transformer.PatchMergingV2)


def _maxvit() -> nn.Module:
    network: nn.Module = models.MaxVit((32, 32), 8, 4, [8, 8], [1, 1], 4, 0.0, num_classes=4)
    return network


REFUSED_FAMILIES = (
    RefusedFamily("ConvNeXt", _convnext, OWN_STATISTICS, "convnext_.*"),
    RefusedFamily("ViT", _vision_transformer, ATTENTION, "vit_.*"),
    RefusedFamily("Swin", _swin, ATTENTION, "swin_[tsb]"),
    RefusedFamily("Swin v2", _swin_v2, ATTENTION, "swin_v2_."),
    RefusedFamily("MaxViT", _maxvit, ATTENTION, "maxvit_t"),
)

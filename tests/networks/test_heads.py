"""Tests of xda.networks.heads: phi and a linear head, found by running the network, or the reason for a refusal."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from xda.errors import ConfigError
from xda.networks.heads import Classifier, FeatureExtractor, check_head, find_head, split_head
from xda.networks.presets import PRESETS, get_preset
from xda.networks.spec import NetworkSpec, build_network

K = 3
IMAGES = torch.randn((4, 2, 6, 6), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PRESETS)
def test_head_and_features_make_up_the_network(name: str) -> None:
    preset = get_preset(name)
    network = build_network(NetworkSpec(name, 10)).eval()
    before = list(network.state_dict())
    phi, head = split_head(network)
    images = torch.randn((3, preset.preprocessing.channels, *preset.preprocessing.size))
    with torch.inference_mode():
        features = phi(images)
        torch.testing.assert_close(head(features), network(images))
    assert features.shape == (3, head.in_features)
    assert list(network.state_dict()) == before
    assert {value.data_ptr() for value in phi.parameters()} < {value.data_ptr() for value in network.parameters()}


def test_features_of_the_papers_network_follow_a_relu(network: nn.Module) -> None:
    phi, head = split_head(network)
    assert head.in_features == 100
    assert (phi(torch.randn(4, 1, 28, 28)) >= 0).all()


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 3), nn.Conv2d(1, 2, 3)),
        nn.Sequential(nn.Linear(4, 3), nn.Conv2d(2, 2, 1, groups=2)),
        nn.Linear(4, 3),
        nn.Sequential(OrderedDict(body=nn.Linear(4, 3), norm=nn.BatchNorm1d(3))),
    ],
)
def test_split_head_without_a_linear_head_is_refused(network: nn.Module) -> None:
    with pytest.raises(ConfigError, match="must be linear"):
        split_head(network)


class Two(NamedTuple):
    embedding: torch.Tensor
    scores: torch.Tensor


@dataclass
class Answer:
    hidden: torch.Tensor
    logits: torch.Tensor


class Net(nn.Module):
    """A small network; ``answer`` names the step after its head."""

    def __init__(self, answer: str = "plain", *, bias: bool = True, aux: bool = False) -> None:
        super().__init__()
        # registered first although it runs last: the order of registration must not matter
        self.head = nn.Linear(5, K, bias=bias)
        self.body = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.aux = nn.Linear(5, K) if aux else None
        self.answer = answer

    def forward(self, x: torch.Tensor) -> object:
        z = self.body(x)
        y = self.head(z)
        answers: dict[str, object] = {
            "plain": y,
            "tuple": (z, y),
            "named tuple": Two(z, y),
            "dataclass": Answer(z, y),
            "mapping": {"hidden": z, "logits": y},
            "nested": [{"all": (y,)}],
            "softmax": y.softmax(1),
            "log softmax": functional.log_softmax(y, 1),
            "temperature": y / 2,
            "sigmoid": y.sigmoid(),
            "negative": -y,
            "infinite": y / 0,
        }
        answer = answers[self.answer]
        return (answer, self.aux(z)) if self.aux is not None and self.training else answer


class OneByOne(nn.Module):
    """A head that is a 1 x 1 convolution before the average over positions, as in Network in Network."""

    def __init__(self, *, bias: bool = True, rectified: bool = False, kernel: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU())
        self.classifier = nn.Conv2d(5, K, kernel, bias=bias)
        self.rectified = rectified

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.classifier(self.features(x))
        return functional.adaptive_avg_pool2d(scores.relu() if self.rectified else scores, 1).flatten(1)


def logits_by_hand(network: Net) -> torch.Tensor:
    return network.head(network.body(IMAGES))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "answer", ["plain", "tuple", "named tuple", "dataclass", "mapping", "nested", "softmax", "log softmax"]
)
def test_find_head_in_any_form_of_output_finds_it(answer: str) -> None:
    torch.manual_seed(0)
    network = Net(answer).eval()
    assert find_head(network, IMAGES, K) == "head"
    classifier = Classifier(network, "head")
    phi, head = split_head(classifier)
    with torch.no_grad():
        features = phi(IMAGES)
        torch.testing.assert_close(features, network.body(IMAGES))
        torch.testing.assert_close(head(features), logits_by_hand(network))
    check_head(classifier, head, features, IMAGES)


def test_find_head_with_a_relu_after_positive_scores_is_refused() -> None:
    network = OneByOne(rectified=True).eval()
    with torch.no_grad():
        network.classifier.bias.fill_(100.0)  # type: ignore[union-attr]
        plain = network.classifier(network.features(IMAGES)).mean((2, 3))
        torch.testing.assert_close(network(IMAGES), plain)
    with pytest.raises(ConfigError, match="A ReLU stands between"):
        find_head(network, IMAGES, K)
    named = Classifier(network, "classifier")
    phi, head = split_head(named)
    with pytest.raises(ConfigError, match="other than a softmax after"):
        check_head(named, head, phi(IMAGES), IMAGES)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Net("temperature"), "does something after it"),
        (Net("sigmoid"), "does something after it"),
        (Net("negative"), "does something after it"),
        (Net("infinite"), "is not finite"),
        (nn.Sequential(nn.Conv2d(2, K, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()), "does something after it"),
        (OneByOne(rectified=True), "A ReLU stands between the last convolution 'classifier'"),
        (OneByOne(kernel=2), r"'classifier' is a convolution of \(2, 2\) pixels"),
        (nn.Sequential(nn.Flatten(), nn.Linear(72, 4)), r"has the shape \(4, 4\), but there are 3 classes"),
        (nn.Sequential(nn.AvgPool2d(6), nn.Flatten(), nn.ConstantPad1d((0, 1), 0.0)), "has no linear layer"),
        (
            nn.Sequential(nn.Conv2d(2, 7, 1), nn.AvgPool2d(6), nn.Flatten(), nn.AdaptiveAvgPool1d(K)),
            r"No linear layer of the network has 3 outputs, one for each class \(the last one, '0', has 7\)",
        ),
        (
            nn.Sequential(nn.Flatten(2), nn.Linear(36, K), nn.Flatten(), nn.AdaptiveAvgPool1d(K)),
            r"'1' works on inputs of the shape \(4, 2, 36\)",
        ),
    ],
)
def test_network_without_head_is_refused_with_the_reason(network: nn.Module, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        find_head(network, IMAGES, K)


class Cosine(nn.Module):
    """A head whose logits are angles: its features and weights are brought to length one first."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * functional.linear(functional.normalize(x), functional.normalize(self.weight))


@pytest.mark.parametrize("channels", [5, K])
def test_refusal_of_a_cosine_head_calls_no_convolution_linear(channels: int) -> None:
    body = nn.Sequential(nn.Conv2d(2, channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(OrderedDict(body=body, head=Cosine(K, channels)))
    with pytest.raises(ConfigError) as caught:
        find_head(network, IMAGES, K)
    assert str(caught.value) == (
        "The network has no linear layer (torch.nn.Linear or 1 x 1 convolution); its last layer with weights is 'head' "
        "(Cosine); attribution needs a network that returns the output of a linear layer."
    )
    embedding = nn.Sequential(*body, nn.Linear(channels, 7))
    with pytest.raises(ConfigError, match=r"\(the last one, 'body.4', has 7\).* is 'head' \(Cosine\)"):
        find_head(nn.Sequential(OrderedDict(body=embedding, head=Cosine(K, 7))), IMAGES, K)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("form", ["scripted", "traced"])
def test_find_head_of_torchscript_is_refused_with_the_remedy(form: str) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(72, K)).eval()
    network = torch.jit.script(plain) if form == "scripted" else torch.jit.trace(plain, IMAGES)  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match=r"is a TorchScript program .* load the model that it was made from"):
        find_head(network, IMAGES, K)
    with pytest.raises(ConfigError, match="is a TorchScript program"):
        split_head(Classifier(network, "1"))


def test_find_head_ignores_auxiliary_heads_in_eval_mode() -> None:
    network = Net(aux=True).train()
    assert find_head(network, IMAGES, K) == "head"
    assert not network.training
    phi, _ = split_head(Classifier(network, "head"))
    torch.testing.assert_close(phi(IMAGES), network.body(IMAGES))


def test_find_head_of_two_added_heads_is_refused() -> None:
    class Distilled(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert self.aux is not None
            z = self.body(x)
            result: torch.Tensor = (self.head(z) + self.aux(z)) / 2
            return result

    with pytest.raises(ConfigError, match="adds several heads"):
        find_head(Distilled(aux=True), IMAGES, K)


@pytest.mark.parametrize("bias", [True, False])
def test_split_head_turns_a_one_by_one_convolution_into_a_linear_layer(bias: bool) -> None:
    torch.manual_seed(0)
    network = OneByOne(bias=bias).eval()
    assert find_head(network, IMAGES, K) == "classifier"
    phi, head = split_head(Classifier(network, "classifier"))
    with torch.no_grad():
        features = phi(IMAGES)
        torch.testing.assert_close(features, network.features(IMAGES).mean((2, 3)))
        torch.testing.assert_close(head(features), network(IMAGES))
    assert (head.bias is None) is not bias
    assert head.weight.data_ptr() == network.classifier.weight.data_ptr()


def test_split_head_without_bias_adds_none() -> None:
    network = Net(bias=False).eval()
    phi, head = split_head(Classifier(network, find_head(network, IMAGES, K)))
    assert head.bias is None
    torch.testing.assert_close(functional.linear(phi(IMAGES), network.head.weight), logits_by_hand(network))


def test_find_head_of_a_linear_subclass_with_another_forward_is_refused() -> None:
    class Cosine(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.linear(functional.normalize(x), functional.normalize(self.weight))

    network = Net()
    network.head = Cosine(5, K)
    with pytest.raises(ConfigError, match="does something after it"):
        find_head(network, IMAGES, K)


def test_softmax_behind_the_head_is_not_in_the_feature_extractor(network: nn.Module) -> None:
    phi, _ = split_head(Classifier(nn.Sequential(network, nn.Softmax(dim=1)), "0.11"))
    assert not any(isinstance(module, nn.Softmax) for module in phi.modules())


def test_feature_extractor_keeps_names_and_can_be_copied(network: nn.Module) -> None:
    phi, _ = split_head(network)
    names = {name for name, _ in network.named_parameters()} - {"11.weight", "11.bias"}
    assert {name for name, _ in phi.named_parameters()} == names
    clone = copy.deepcopy(phi)
    images = torch.randn(2, 1, 28, 28)
    expected = phi(images)
    clone.get_parameter("0.weight").data.zero_()
    torch.testing.assert_close(phi(images), expected)
    assert not torch.allclose(clone(images), expected)


def test_feature_extractor_passes_its_mode_to_the_network() -> None:
    network = Net(aux=True).train()
    phi = split_head(Classifier(network, "head"))[0].eval()
    assert isinstance(phi, FeatureExtractor)
    assert not phi.training
    assert not phi._network.training


def test_split_head_with_an_unknown_name_lists_the_linear_layers() -> None:
    with pytest.raises(ConfigError, match="no layer 'fc' that could be its head; its last linear layers are: head"):
        split_head(Classifier(Net(), "fc"))
    with pytest.raises(ConfigError, match="'body' is Sequential"):
        split_head(Classifier(Net(), "body"))


def test_split_head_with_a_head_that_never_runs_is_refused() -> None:
    network = Net(aux=True).eval()
    with pytest.raises(ConfigError, match="does not come from the layer that was named"):
        split_head(Classifier(network, "aux"))[0](IMAGES)


@pytest.mark.parametrize("answer", ["temperature", "sigmoid"])
def test_check_head_with_a_step_after_it_is_refused(answer: str) -> None:
    network = Classifier(Net(answer).eval(), "head")
    phi, head = split_head(network)
    with pytest.raises(ConfigError, match="other than a softmax after its last linear layer"):
        check_head(network, head, phi(IMAGES), IMAGES)


class OneLogit(nn.Module):
    """A classifier of two classes with one output; ``answer`` names the step after it."""

    def __init__(self, answer: str, *, bias: bool = True, scale: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.gate = nn.Linear(5, 1)
        self.fc = nn.Linear(5, 1, bias=bias)
        with torch.no_grad():
            for parameter in self.fc.parameters():
                parameter.mul_(scale)
        self.answer = answer

    def forward(self, x: torch.Tensor) -> object:
        z = self.body(x)
        s = self.fc(z * self.gate(z).sigmoid())
        answers: dict[str, object] = {
            "plain": s,
            "squeezed": s.squeeze(1),
            "sigmoid": s.sigmoid(),
            "squeezed sigmoid": s.sigmoid().squeeze(1),
            "mapping": {"hidden": z, "logits": s},
            "temperature": s / 2,
            "sigmoid of half": (s / 2).sigmoid(),
            "negative": -s,
            "tanh": s.tanh(),
            "decision": (s > 0).float(),
        }
        return answers[self.answer]


@pytest.mark.parametrize("answer", ["plain", "squeezed", "sigmoid", "squeezed sigmoid", "mapping"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 30.0])
def test_split_head_of_one_logit_gives_two_rows(answer: str, bias: bool, scale: float) -> None:
    torch.manual_seed(0)
    network = OneLogit(answer, bias=bias, scale=scale).eval()
    assert find_head(network, IMAGES, 2) == "fc"
    classifier = Classifier(network, "fc")
    phi, head = split_head(classifier)
    with torch.no_grad():
        features = phi(IMAGES)
        check_head(classifier, head, features, IMAGES)
        for row, image in zip(head(features), IMAGES, strict=True):
            z = network.body(image[None])[0]
            z = z / (1 + torch.exp(-(network.gate.weight[0] @ z + network.gate.bias[0])))
            logit = sum(w * value for w, value in zip(network.fc.weight[0], z, strict=True))
            by_hand = [0.0, float(logit + (network.fc.bias[0] if bias else 0.0))]
            torch.testing.assert_close(row, torch.tensor(by_hand))
    assert head.weight.shape == (2, 5)
    assert (head.bias is None) is not bias


@pytest.mark.parametrize("answer", ["temperature", "sigmoid of half", "negative", "tanh", "decision"])
def test_head_of_one_logit_with_something_behind_is_refused(answer: str) -> None:
    torch.manual_seed(0)
    network = OneLogit(answer).eval()
    with pytest.raises(ConfigError, match="does something after it"):
        find_head(network, IMAGES, 2)
    named = Classifier(network, "fc")
    phi, head = split_head(named)
    with pytest.raises(ConfigError, match="other than a softmax after its last linear layer"), torch.no_grad():
        check_head(named, head, phi(IMAGES), IMAGES)


def test_head_of_one_logit_for_three_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"has the shape \(4, 1\), but there are 3 classes"):
        find_head(OneLogit("plain").eval(), IMAGES, 3)


def test_split_head_of_a_convolution_with_one_output_gives_two_rows() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Conv2d(5, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    phi, head = split_head(Classifier(network, find_head(network, IMAGES, 2)))
    with torch.no_grad():
        scores = head(phi(IMAGES))
        torch.testing.assert_close(scores[:, 1:], network(IMAGES))
    assert not scores[:, 0].any()


def test_find_head_of_a_difference_of_two_logits_finds_their_layer() -> None:
    class Difference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(72, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.fc(x.flatten(1))
            return (scores[:, 1] - scores[:, 0]).sigmoid()

    torch.manual_seed(0)
    network = Difference().eval()
    assert find_head(network, IMAGES, 2) == "fc"
    assert split_head(Classifier(network, "fc"))[1] is network.fc

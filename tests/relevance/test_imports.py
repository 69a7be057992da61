"""Tests of xda.relevance.imports: heat-maps do not load torchvision, and others can still load it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)


def test_heat_maps_of_a_plain_network_need_no_torchvision() -> None:
    run(
        """
        import sys
        import torch
        from xda.networks.spec import NetworkSpec, build_network
        from xda.networks.presets import get_preset
        from xda.relevance.relevance_model import RelevanceModel

        torch.manual_seed(0)
        network = build_network(NetworkSpec("mnist-cnn", 10))
        try:
            RelevanceModel(network, get_preset("mnist-cnn").preprocessing, torch.device("cpu")).close()
        except Exception as error:  # an untrained network may be refused; here it matters what is imported
            assert "not conserved" in str(error), error
        import zennit.composites, xda.explanation.run
        assert "torchvision" not in sys.modules
        """
    )


def test_import_zennit_leaves_zennit_torchvision_usable() -> None:
    run(
        """
        import xda.relevance
        import zennit
        canonizer = zennit.torchvision.ResNetCanonizer()
        from zennit.torchvision import VGGCanonizer
        assert type(canonizer).__name__ == "ResNetCanonizer"
        """
    )

"""bf16 is chosen where the hardware gains by it."""

import pytest
import torch
from running import TINY, composed

from fer_ssl.build import build_module
from fer_ssl.devices import check_devices
from fer_ssl.errors import ConfigError
from fer_ssl.precision import gains_by_bf16, precision
from fer_ssl.types import Batch, LabelSpace, Output


@pytest.mark.parametrize(
    ("cpu", "gains"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_auto_is_bf16_where_the_processor_gains(cpu: dict[str, object], gains: bool, monkeypatch) -> None:
    assert gains_by_bf16(cpu) is gains
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    assert precision("auto", "cpu") == ("bf16-mixed" if gains else "32-true")


def test_what_is_asked_for_is_taken() -> None:
    assert precision("16-mixed", "cpu") == "16-mixed"


@pytest.mark.parametrize("asked", ["auto", "32-true", "32", "bf16-mixed", "16-mixed"])
def test_weights_in_float32_are_a_choice(asked: str) -> None:
    check_devices(composed(f"trainer.precision={asked}", "trainer.accelerator=cpu", "run_dir=."))


@pytest.mark.parametrize("asked", ["bf16-true", "16-true", "64-true", "bf17"])
def test_weights_of_another_kind_are_refused(asked: str) -> None:
    cfg = composed(f"trainer.precision={asked}", "trainer.accelerator=cpu", "run_dir=.")
    with pytest.raises(ConfigError, match=rf"^trainer\.precision={asked} is not a choice; .* to one of auto, 32-true"):
        check_devices(cfg)


def test_thresholds_count_in_float32_under_autocast() -> None:
    space = LabelSpace("three", ("a", "b", "c"))
    cfg = composed(*TINY, "+experiment=softmatch", "threshold.decay=0.0", "run_dir=.")
    logits = torch.tensor([[8.0, 1.0, 0.0], [0.0, 7.0, 0.0], [0.5, 0.0, 6.5]])
    seen = {name: Output(logits, logits) for name in ("labeled", "weak", "strong")}
    images = torch.zeros(3, 3, 24, 24, dtype=torch.uint8)
    batch = Batch(images, torch.arange(3), None, images, torch.arange(3), None, position=0)
    means = []
    for enabled in (False, True):
        module = build_module(cfg, space, pool_size=3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            means.append(module.pseudo_label(batch, seen, seen).gate.tau)
    assert torch.equal(*means)
    assert means[0][0] > 0.99

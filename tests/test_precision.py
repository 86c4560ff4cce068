"""bf16 is chosen where the hardware gains by it."""

import pytest
import torch

from fer_ssl.precision import gains_by_bf16, precision


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

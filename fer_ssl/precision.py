"""The precision that training computes in."""

from collections.abc import Mapping
from typing import Any

import torch

from fer_ssl.method.choices import require_choice

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")  # the last are Lightning's short names


def precision(asked: str, accelerator: str) -> str:
    """Return Lightning's precision; `auto` is bf16 where the hardware gains by it."""
    if asked != "auto":
        return asked
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if gains_by_bf16(torch.cpu.get_capabilities()) else "32-true"


def require_precision(asked: str | int) -> None:
    """Raise ConfigError for a precision whose weights are not float32.

    In half precision running means, of thresholds and of the averaged teacher, would round to no change.
    """
    require_choice("trainer.precision", str(asked), PRECISIONS)


def gains_by_bf16(cpu: Mapping[str, Any]) -> bool:
    """Return whether a processor of these capabilities multiplies bf16 faster than fp32.

    One with AMX does. Without it, AVX512's products of bf16 gain on AMD's cores; on an Intel Xeon convolutions by them
    took nearly twice the time of fp32.
    """
    by_vector = cpu.get("avx512_bf16") and not str(cpu.get("cpu_name", "")).startswith("Intel")
    return bool(cpu.get("amx_bf16") or by_vector)

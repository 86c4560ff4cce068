"""How close to its peak an accelerator computes."""

import re
from typing import Any

import torch

# dense bf16 TFLOP/s of NVIDIA's data sheets (V100 and T4: fp16); longer names first
PEAKS = {
    "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "GH200": 989, "B200": 2250, "A100": 312, "A40": 150,
    "A30": 165, "A10": 125, "L40S": 362, "L40": 181, "L4": 121, "V100": 125, "T4": 65, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip


def peak_tflops(device: str) -> float | None:
    """Return the peak of a device of that name, None where it is not known.

    Whole words count: an RTX A4000 is no A40, and a laptop's chip is another than the card it is named after.
    """
    found = (float(peak) for name, peak in PEAKS.items() if re.search(rf"\b{name}\b(?! (Laptop|Ti|D)\b)", device))
    return next(found, None)


class FlopMeter:
    """Count the operations of one step as torch does: matrix products and convolutions, forward and backward."""

    def __init__(self) -> None:
        self.per_step: int | None = None
        self._counter: Any = None

    def start(self) -> None:
        """Count from here on, unless a step has been counted."""
        if self.per_step is None and self._counter is None:
            from torch.utils.flop_counter import FlopCounterMode

            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def stop(self) -> None:
        """End the count."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self.per_step, self._counter = self._counter.get_total_flops(), None

    def row(self, steps_per_second: float, device: str) -> dict[str, float]:
        """Return `tflops` of one device and, where its peak is known, `peak_share`."""
        if self.per_step is None:
            return {}
        achieved = self.per_step * steps_per_second / 1e12
        peak = peak_tflops(device)
        return {"tflops": achieved} | ({} if peak is None else {"peak_share": achieved / peak})


def device_name(device: torch.device) -> str:
    """Return the name of an accelerator."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

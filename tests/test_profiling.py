"""A profile names where the time of a step goes."""

import json
from pathlib import Path

import pytest
import torch
from running import trained
from torch import nn

from fer_ssl.callbacks.flops import FlopMeter, peak_tflops
from fer_ssl.profiling import PARTS, Span, host_times, innermost


def test_a_moment_belongs_to_the_innermost_part() -> None:
    spans = [Span(0, 10, "step"), Span(2, 6, "teacher"), Span(3, 4, "views"), Span(6, 7, "views"), Span(12, 14, "step")]
    assert innermost(reversed(spans)) == [
        Span(0, 2, "step"),
        Span(2, 3, "teacher"),
        Span(3, 4, "views"),
        Span(4, 6, "teacher"),
        Span(6, 7, "views"),
        Span(7, 10, "step"),
        Span(12, 14, "step"),
    ]
    assert host_times(innermost(spans)) == {"step": 7.0, "teacher": 3.0, "views": 2.0}


def shares(page: str) -> dict[str, float]:
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    return {row[1].strip(): float(row[3].strip(" %")) for row in rows if row[1].strip() in PARTS}


def test_a_run_with_a_profiler_leaves_trace_and_page(tmp_path: Path) -> None:
    sizes = ("trainer.max_steps=6", "epoch_steps=4", "profiler.warmup=2", "profiler.steps=3")
    trained(tmp_path, "profiler=torch", *sizes)
    page = (tmp_path / "profile.md").read_text()
    assert "Means of 3 steps" in page
    found = shares(page)
    assert found.keys() == PARTS.keys()
    assert sum(found.values()) == pytest.approx(100, abs=1)
    assert all(found[part] > 0 for part in PARTS)
    assert "`aten::" in page
    names = {event.get("name") for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert names >= PARTS.keys() - {"other"}


def test_a_run_too_short_to_profile_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(tmp_path, "profiler=torch")
    assert "set profiler.warmup=0" in caplog.text
    assert not (tmp_path / "profile.md").exists()


def test_operations_are_those_of_forward_and_backward() -> None:
    meter = FlopMeter()
    assert meter.row(1.0, "NVIDIA H200") == {}
    layer = nn.Linear(10, 20, bias=False)
    for _ in range(2):
        meter.start()
        layer(torch.ones(8, 10, requires_grad=True)).sum().backward()
        meter.stop()
    assert meter.per_step == 3 * 2 * 8 * 10 * 20
    row = meter.row(1e6, "NVIDIA H200")
    assert row["tflops"] == pytest.approx(meter.per_step / 1e6)
    assert row["peak_share"] == pytest.approx(row["tflops"] / 989)
    assert meter.row(1e6, "an unknown device").keys() == {"tflops"}


@pytest.mark.parametrize(("name", "peak"), [("NVIDIA H100 PCIe", 756), ("NVIDIA H100 80GB HBM3", 989), ("L40S", 362)])
def test_longer_names_come_first(name: str, peak: float) -> None:
    assert peak_tflops(name) == peak


@pytest.mark.parametrize(
    "name", ["NVIDIA RTX A4000", "NVIDIA RTX A1000", "NVIDIA T400", "NVIDIA GeForce RTX 4090 Laptop GPU"]
)
def test_the_peak_of_a_card_of_another_name_is_not_known(name: str) -> None:
    assert peak_tflops(name) is None

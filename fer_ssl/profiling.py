"""Where a step's time goes: a trace of some steps, and one page that sums it up by part."""

import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch.profilers import Profiler
from torch._C._autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function, schedule

log = logging.getLogger(__name__)

PARTS = {
    "data wait": "the next batch, until it is there and on its way to the device",
    "views": "augmentation",
    "student": "forward passes with gradient",
    "teacher": "forward passes without",
    "pseudo-label": "threshold and target",
    "loss": "loss terms and the tally for the log",
    "backward": "gradients of the student",
    "optimizer": "update of the weights",
    "average": "update of the averaged model",
    "logging": "callbacks: history, checkpoints, progress",
    "other": "the loop around the step",
}
LIGHTNING = {"train_dataloader_next": "data wait", "batch_to_device": "data wait", "[Callback]": "logging"}
SLOWEST = 12  # operators on the page


class Span(NamedTuple):
    """A labeled stretch of time, in microseconds."""

    start: float
    end: float
    part: str


def innermost(spans: Iterable[Span]) -> list[Span]:
    """Return disjoint spans in order: of nested ones, each moment belongs to the innermost."""
    pieces: list[Span] = []
    open_spans: list[Span] = []
    at = 0.0

    def advance(to: float) -> None:
        nonlocal at
        while open_spans and open_spans[-1].end <= to:
            inner = open_spans.pop()
            pieces.append(Span(at, inner.end, inner.part))
            at = max(at, inner.end)
        if open_spans:
            pieces.append(Span(at, to, open_spans[-1].part))
        at = max(at, to)

    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        advance(span.start)
        open_spans.append(span)
    advance(float("inf"))
    return [piece for piece in pieces if piece.end > piece.start]


def host_times(pieces: Sequence[Span]) -> dict[str, float]:
    """Return the microseconds of every part on the host."""
    times: dict[str, float] = defaultdict(float)
    for start, end, part in pieces:
        times[part] += end - start
    return times


def device_times(events: Iterable[FunctionEvent], pieces: Sequence[Span]) -> dict[str, float]:
    """Return the microseconds of every part on the accelerator: a kernel belongs to the part that launched it."""
    starts = [piece.start for piece in pieces]
    times: dict[str, float] = defaultdict(float)
    for event in events:
        spent = sum(kernel.duration for kernel in event.kernels)
        if spent and event.name not in PARTS:
            place = bisect_right(starts, event.time_range.start) - 1
            within = place >= 0 and event.time_range.start < pieces[place].end
            times[pieces[place].part if within else "other"] += spent
    return times


class StepProfiler(Profiler):
    """Record `steps` training steps after `warmup` others into `run_dir`: `trace.json` and `profile.md`.

    The parts are ranges that the module labels; Lightning names the others as it calls them.
    """

    def __init__(self, run_dir: str, warmup: int = 10, steps: int = 20) -> None:
        super().__init__(dirpath=run_dir)
        self.run_dir, self.steps = Path(run_dir), steps
        self.written = False
        self._labels: dict[str, record_function] = {}
        self._profile: profile | None = None
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        plan = schedule(skip_first=max(0, warmup - 1), wait=0, warmup=1, active=steps, repeat=1)
        self._planned = profile(activities=activities, schedule=plan, on_trace_ready=self._write)

    def start(self, action_name: str) -> None:
        if action_name == "run_training_epoch" and self._profile is None and not self.written:
            self._profile = self._planned
            self._profile.start()
        part = next((part for name, part in LIGHTNING.items() if name in action_name), None)
        if part is not None:
            self._labels[action_name] = record_function(part)
            self._labels[action_name].__enter__()

    def stop(self, action_name: str) -> None:
        if action_name in self._labels:
            self._labels.pop(action_name).__exit__(None, None, None)
        if action_name == "run_training_batch" and self._profile is not None:
            self._profile.step()

    def teardown(self, stage: str | None) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
            if not self.written:
                log.warning(
                    "training ended before its steps were profiled; set profiler.warmup=0, or raise trainer.max_steps"
                )
        super().teardown(stage)

    def _write(self, recorded: profile) -> None:
        self.written = True
        recorded.export_chrome_trace(str(self.run_dir / "trace.json"))
        (self.run_dir / "profile.md").write_text(page(list(recorded.events() or ())))
        log.info("profile: %s", self.run_dir / "profile.md")


def page(events: Sequence[FunctionEvent]) -> str:
    """Return the one-page summary of recorded events as Markdown."""
    on_host = [event for event in events if event.device_type == DeviceType.CPU]
    steps = [event.time_range for event in on_host if event.name.startswith("ProfilerStep")]
    spans = [Span(e.time_range.start, e.time_range.end, e.name) for e in on_host if e.name in PARTS]
    spans += [Span(step.start, step.end, "other") for step in steps]
    pieces = innermost(spans)
    times = [host_times(pieces), device_times(on_host, pieces)]
    count = max(1, len(steps))
    lines = [
        "# Profile",
        "",
        f"Means of {count} steps, milliseconds per step. `trace.json` opens in chrome://tracing or ui.perfetto.dev.",
        "",
        *table(times, count),
        "",
        "| slowest operators | calls | ms |",
        "| --- | --- | --- |",
        *operators(on_host, count),
    ]
    return "\n".join(lines) + "\n"


def table(times: Sequence[dict[str, float]], steps: int) -> list[str]:
    """Return the lines of the table of parts: host, and the device where it worked."""
    shown = [side for side in times if side]
    heads = " | ".join(f"{name} ms | share" for name, side in zip(("host", "device"), times, strict=True) if side)
    lines = [f"| part | {heads} | |", f"| --- {'| --- | --- ' * len(shown)}| --- |"]
    totals = [sum(side.values()) for side in shown]
    for part, meaning in PARTS.items():
        cells = (
            f"{side.get(part, 0.0) / 1000 / steps:.2f} | {side.get(part, 0.0) / total:.1%}"
            for side, total in zip(shown, totals, strict=True)
        )
        lines.append(f"| {part} | {' | '.join(cells)} | {meaning} |")
    return lines


def operators(events: Iterable[FunctionEvent], steps: int) -> list[str]:
    """Return a line for each of the operators that took longest by themselves, on host and device together."""
    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for event in events:
        if event.name not in PARTS and not event.name.startswith("ProfilerStep"):
            spent[event.name] += event.self_cpu_time_total + event.self_device_time_total
            calls[event.name] += 1
    slowest = sorted(spent, key=lambda name: -spent[name])[:SLOWEST]
    return [f"| `{name}` | {calls[name] / steps:.0f} | {spent[name] / 1000 / steps:.2f} |" for name in slowest]

"""Measure what the framework costs beside what it stands on, and write docs/benchmarks.md and .json.

python benchmarks/suite.py [--only step views parts] [--repeats 15]
python benchmarks/suite.py --compare before.json after.json
"""

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import parts
import step
import torch
import views
from timing import Figure

from fer_ssl.results import environment

SUITES = {"step": step.figures, "views": views.figures, "parts": parts.figures}
PAGE = Path("docs/benchmarks.md")
MEANING = (
    "Each line times two things in turns in one process: medians in milliseconds, and the median of the paired "
    "ratios, ours over the other. The bare loop has channels_last, bf16 where the processor multiplies it, a teacher "
    "pass without gradient and a fused EMA; the one-pass fp32 loop is how USB writes FixMatch."
)


def machine() -> dict[str, Any]:
    """Return the facts that figures depend on."""
    return {
        "date": str(datetime.date.today()),
        "commit": environment()["commit"],
        "torch": torch.__version__,
        "cpu": torch.cpu.get_capabilities()["cpu_name"],
        "threads": torch.get_num_threads(),
        "bf16": step.BF16,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def write(found: Sequence[Figure], repeats: int) -> None:
    """Write the page and the same as JSON beside it."""
    facts = machine()
    content = {"machine": facts, "repeats": repeats, "figures": [figure._asdict() for figure in found]}
    PAGE.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    rows = [
        f"| {f.name} | {1e3 * f.ours:.3f} | {f.against} | {1e3 * f.reference:.3f} | {f.ratio:.4f} | {f.asked} |"
        for f in found
    ]
    shown = ", ".join(f"{name} {value}" for name, value in facts.items() if name not in ("date", "commit", "gpu"))
    head = f"Written {facts['date']} at commit {facts['commit']} by `make bench`, {repeats} pairs: {shown}."
    gpu = f"GPU: {facts['gpu']}." if facts["gpu"] else "No GPU was at hand: figures on one are not measured."
    table = ["| what | ours (ms) | beside | its (ms) | ratio | asked |", "| --- | --- | --- | --- | --- | --- |", *rows]
    PAGE.write_text("\n".join(["# Benchmarks", "", head, gpu, "", MEANING, "", *table, ""]))


def compare(before: Path, after: Path) -> None:
    """Print how the ratios of two files moved."""
    old, new = (
        {(f["name"], f["against"]): f["ratio"] for f in json.loads(path.read_text())["figures"]}
        for path in (before, after)
    )
    for name, against in old.keys() & new.keys():
        print(f"{name} against {against}: {old[name, against]:.4f} -> {new[name, against]:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SUITES), default=list(SUITES))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"))
    args = parser.parse_args()
    if args.compare:
        compare(*args.compare)
        return
    found = []
    for name in args.only:
        for figure in SUITES[name](args.repeats):
            print(figure, flush=True)
            found.append(figure)
    if args.only == list(SUITES):
        write(found, args.repeats)


if __name__ == "__main__":
    main()

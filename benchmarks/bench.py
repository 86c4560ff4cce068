"""Measure the framework against references in the same minutes, and write what was found.

python benchmarks/bench.py                                   # everything that runs here
python benchmarks/bench.py --only step views --quick         # smallest sizes: does it run?
python benchmarks/bench.py --data <fer2013> --json docs/benchmarks.json --markdown docs/benchmarks.md

A benchmark that is measured replaces its entry in the JSON file; the others stay, each with its own machine and commit.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from checkpointing import measure_checkpointing
from decoding import measure_decoding
from end_to_end import measure_end_to_end
from evaluation import measure_evaluation
from gpu import measure_gpu
from measuring import Measurement, Options, Skipped, machine
from memory import measure_memory
from pool import measure_pool
from prepare import measure_prepare
from ranks import measure_ranks
from small_maps import measure_small_maps
from startup import measure_startup
from step import measure_ema, measure_peers, measure_step
from thresholds import measure_info_nce, measure_thresholds
from views import measure_views
from writing import markdown, row

SUITE: dict[str, Callable[[Options], Iterator[Measurement]]] = {
    "step": measure_step,
    "end_to_end": measure_end_to_end,
    "ranks": measure_ranks,
    "peers": measure_peers,
    "small_maps": measure_small_maps,
    "views": measure_views,
    "decoding": measure_decoding,
    "pool": measure_pool,
    "prepare": measure_prepare,
    "ema": measure_ema,
    "thresholds": measure_thresholds,
    "info_nce": measure_info_nce,
    "evaluation": measure_evaluation,
    "startup": measure_startup,
    "memory": measure_memory,
    "checkpointing": measure_checkpointing,
    "gpu": measure_gpu,
}


def measured(name: str, options: Options) -> dict[str, Any]:
    """Return one benchmark's entry: machine facts with its measurements, or the reason why it was skipped."""
    entry: dict[str, Any] = {"about": (SUITE[name].__doc__ or "").strip(), "machine": machine(), "measurements": []}
    print(f"\n{name}", flush=True)
    try:
        for measurement in SUITE[name](options):
            entry["measurements"].append(asdict(measurement))
            print(row(asdict(measurement)), flush=True)
    except Skipped as reason:
        entry["skipped"] = str(reason)
        print(f"skipped: {reason}", flush=True)
    return entry


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SUITE, default=list(SUITE), metavar="NAME", help=", ".join(SUITE))
    parser.add_argument("--quick", action="store_true", help="smallest sizes and two repetitions")
    parser.add_argument("--repeats", type=int, default=15, help="pairs behind each median")
    parser.add_argument("--data", type=Path, help="folder of FER2013; without it, procedural faces")
    parser.add_argument("--json", type=Path, help="file to add the figures to")
    parser.add_argument("--markdown", type=Path, help="page to write from all entries of the JSON file")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    options = Options(2 if args.quick else args.repeats, args.quick, args.data)
    found = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    for name in args.only:
        found[name] = measured(name, options)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2) + "\n")
    if args.markdown:
        args.markdown.write_text(markdown({name: found[name] for name in SUITE if name in found}))


if __name__ == "__main__":
    main()

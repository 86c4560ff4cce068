"""Print how the figures of two JSON files of `bench.py` differ: `python benchmarks/compare.py a.json b.json`.

The last column is B's ratio over A's: each ratio stands against a reference of the same minutes, so machines drift out.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Figures = dict[tuple[str, str], dict[str, Any]]


def figures(found: Mapping[str, Any]) -> Figures:
    """Return the measurements of all benchmarks by what was measured against what."""
    return {(m["name"], m["against"]): m for entry in found.values() for m in entry["measurements"]}


def compared(first: Figures, second: Figures) -> Iterator[str]:
    """Yield a table of the measurements that both have, and a line for those of one alone."""
    yield "| measured | against | ratio A | ratio B | B / A |"
    yield "| --- | --- | --- | --- | --- |"
    for name, against in (key for key in first if key in second):
        a, b = (side[name, against]["ratio"] for side in (first, second))
        yield f"| {name} | {against} | {a:.4g} | {b:.4g} | {b / a:.3f} |"
    for side, alone in (("A", first.keys() - second.keys()), ("B", second.keys() - first.keys())):
        if alone:
            yield f"only in {side}: {', '.join(sorted(name for name, _ in alone))}"


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: python benchmarks/compare.py a.json b.json")
    first, second = (figures(json.loads(Path(path).read_text())) for path in sys.argv[1:])
    print("\n".join(compared(first, second)))


if __name__ == "__main__":
    main()

"""Write what runs tell: a page into each run directory, or with --table one table over many runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_ssl.errors import FerError


def main(arguments: Sequence[str] | None = None) -> list[Path]:
    """Write the reports or the table and return their paths; raise FerError for a directory that is no run."""
    parser = argparse.ArgumentParser(prog="python -m fer_ssl.report", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN_DIR", help="a run; with --table also a folder of runs"
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="Markdown file to write, such as docs/results.md")
    options = parser.parse_args(arguments)
    if options.table:
        from fer_ssl.reports.table import write_table

        return [write_table(options.runs, options.table)]
    from fer_ssl.reports.page import write_report

    return [write_report(run) for run in options.runs]


if __name__ == "__main__":
    try:
        for path in main():
            print(path)
    except FerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None

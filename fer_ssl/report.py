"""Write the page of runs, page and tables of a sweep: `python -m fer_ssl.report <dir> [--table <one table.md>]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_ssl.errors import ConfigError, FerError


def main(arguments: Sequence[str] | None = None) -> list[Path]:
    """Write the reports or the table and return their paths; raise FerError for a directory that is no run."""
    parser = argparse.ArgumentParser(prog="python -m fer_ssl.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="a run, or a folder of runs")
    parser.add_argument("--table", type=Path, metavar="FILE", help="Markdown file to write, such as docs/results.md")
    parser.add_argument("--baseline", metavar="NAME", help="experiment that a sweep's others are compared with")
    options = parser.parse_args(arguments)
    if absent := [folder for folder in options.runs if not folder.is_dir()]:
        raise ConfigError(f"there is no folder {absent[0]}; name a run's, or one with runs below it")
    if searches := [folder for folder in options.runs if (folder / "study.db").is_file()]:
        raise ConfigError(
            f"{searches[0]} is a search, whose trials differ in settings; see its trials.csv, or name a trial, such as "
            f"{searches[0] / 'trials' / '0'}"
        )
    folders = [folder for folder in options.runs if _holds_runs(folder)]
    if options.baseline and (options.table or len(folders) < len(options.runs)):
        raise ConfigError("--baseline names the row that others of a sweep are compared with; leave it out here")
    if options.table and options.table.is_dir():
        raise ConfigError(f"{options.table} is a folder; set --table {options.table / 'results.md'}")
    try:
        return _written(options, folders)
    except OSError as error:
        mend = "set --table <file> to a place that can be" if options.table else "copy the run to a folder that can be"
        raise ConfigError(f"the report cannot be written ({error}); {mend}") from None


def _written(options: argparse.Namespace, folders: Sequence[Path]) -> list[Path]:
    """Write the table, or the report of each run and of each of the `folders` of runs; return their paths."""
    if options.table:
        from fer_ssl.reports.table import write_table

        return [write_table(options.runs, options.table)]
    from fer_ssl.reports.page import write_report
    from fer_ssl.reports.sweep_page import write_sweep

    written: list[Path] = []
    for folder in options.runs:
        written += write_sweep(folder, options.baseline) if folder in folders else [write_report(folder)]
    return written


def _holds_runs(folder: Path) -> bool:
    """Say whether a folder is no run itself but has runs below it, or the journal of jobs that were to be runs."""
    if (folder / "config.yaml").is_file():
        return False
    from fer_ssl.reports.grouping import run_folders

    return (folder / "jobs.jsonl").is_file() or any(True for _ in run_folders(folder))


if __name__ == "__main__":
    try:
        for path in main():
            print(path)
    except FerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None

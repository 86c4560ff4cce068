"""The verb that writes reports."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_ssl.errors import ConfigError
from fer_ssl.report import main

Make = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_ssl.report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_pages_of_several_runs(make_scored: Make) -> None:
    runs = [make_scored("a"), make_scored("b", seed=1)]
    assert main([str(run) for run in runs]) == [run / "report.html" for run in runs]
    assert all((run / "report.html").is_file() for run in runs)


def test_table_of_a_folder(make_scored: Make, tmp_path: Path) -> None:
    make_scored("runs/a")
    target = tmp_path / "results.md"
    assert main([str(tmp_path / "runs"), "--table", str(target)]) == [target]
    assert "| dtm_infonce |" in target.read_text()


def test_verb_prints_the_path(make_scored: Make) -> None:
    run = make_scored("a")
    result = call(run)
    assert (result.returncode, result.stdout) == (0, f"{run / 'report.html'}\n")


def test_no_run_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    result = call(tmp_path)
    assert result.returncode == 2
    assert result.stderr.strip().count("\n") == 0
    assert "is no finished run" in result.stderr


def test_a_table_in_the_place_of_a_folder_is_refused(make_scored: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; set --table .*results\.md"):
        main([str(make_scored("a")), "--table", str(tmp_path)])


def test_a_report_that_cannot_be_written_is_one_sentence(make_scored: Make, tmp_path: Path) -> None:
    runs = {name: make_scored(f"{name}/one", name=name) for name in ("alone", "many")}
    file = tmp_path / "file"
    file.write_text("")
    (runs["alone"] / "report.html").mkdir()
    (tmp_path / "many" / "sweep.md").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be written .*; set --table <file> to a place that can be"):
        main([str(tmp_path / "many"), "--table", str(file / "results.md")])
    for folder in (runs["alone"], tmp_path / "many"):
        with pytest.raises(ConfigError, match=r"cannot be written .*; copy the run to a folder that can be"):
            main([str(folder)])


def test_a_search_is_no_sweep(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("")
    with pytest.raises(ConfigError, match=r"is a search, .* see its trials\.csv, or name a trial"):
        main([str(tmp_path)])


def test_help_is_quick() -> None:
    code = """
import sys
from fer_ssl.report import main
try:
    main(["--help"])
except SystemExit:
    print("heavy:", {"torch", "matplotlib", "pyarrow", "numpy"} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "--table FILE" in result.stdout
    assert "heavy: set()" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--unknown"]])
def test_bad_arguments_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

"""The journal: the last word on every job, whatever a kill left of its last line."""

from pathlib import Path

import pytest

from fer_ssl.jobs.journal import Entry, now, read_journal, record


def test_the_last_entry_of_a_job_counts(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    record(path, Entry("a", "running", ["seed=0"]))
    record(path, Entry("b", "running", ["seed=1"]))
    record(path, Entry("a", "failed", ["seed=0"], end=now(), exit=-9, error="killed by SIGKILL"))
    entries = read_journal(path)
    assert [entry.state for entry in entries.values()] == ["failed", "running"]
    assert (entries["a"].exit, str(entries["a"]), str(entries["b"])) == (-9, "a: killed by SIGKILL", "b: running")


def test_half_a_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    record(path, Entry("a", "finished", []))
    path.write_bytes(path.read_bytes() + b'{"job": "b", "sta')
    record(path, Entry("c", "finished", []))
    assert list(read_journal(path)) == ["a", "c"]


def test_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    record(tmp_path / "jobs.jsonl", Entry("a", "failed", ["+key=0123456789abcdef"], error="no 0123456789abcdef"))
    assert "0123456789abcdef" not in (tmp_path / "jobs.jsonl").read_text()
    assert read_journal(tmp_path / "jobs.jsonl")["a"].error == "no ***"


def test_a_masked_secret_costs_no_line(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    record(path, Entry("a", "failed", ['data.root="https://host/faces?token=0123456789"'], error="no such face"))
    entry = read_journal(path)["a"]
    assert (entry.overrides, entry.error) == (['data.root="https://host/faces?token=***"'], "no such face")


def test_no_journal_holds_no_entries(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "jobs.jsonl") == {}

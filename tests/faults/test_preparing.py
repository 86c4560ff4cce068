"""A disk that fills up while faces are prepared: no half-written file is taken for whole, and the run goes on."""

import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import breaking
import pytest
from faulting import fork
from packing import contents, prepared, scene

from fer_ssl.cli import told
from fer_ssl.data.preparing import writing

FILES = (
    "plan.json",
    "000000000002.parquet",
    "faces-000001.tar",
    "manifest.parquet",
    "rejected.parquet",
    "summary.json",
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos") / "in"
    root.mkdir()
    for number in range(6):
        scene(number).save(root / f"{number}.jpg", quality=92)
    (root / "empty.jpg").touch()
    return root


def full_before(victim: str, photos: Path, output: Path, log: Path) -> None:
    """Prepare on a disk of its own, full before `victim` is written; what is on it is copied to `left`."""
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    copy_back = breaking.own_disk(output, 4 * 2**10)
    whole = writing.whole

    @contextmanager
    def filling(path: Path) -> Iterator[Path]:
        if path.name == victim:
            breaking.fill(output)
        with whole(path) as partial_path:
            yield partial_path

    writing.whole = filling  # type: ignore[assignment]
    try:
        told(partial(prepared, photos, output))
    finally:
        copy_back()


@pytest.mark.parametrize("victim", FILES)
def test_a_full_disk_leaves_only_whole_files_and_the_run_goes_on(
    victim: str, photos: Path, tmp_path: Path, found: Callable[..., None]
) -> None:
    process = fork(full_before, victim, photos, tmp_path / "out", tmp_path / "log")
    process.join(120)
    if process.exitcode == breaking.NO_MOUNT:
        pytest.skip("this needs the right to mount a disk in a namespace")
    text = (tmp_path / "log").read_text()
    assert process.exitcode == 2, text
    assert f"error: {tmp_path / 'out'}" in text
    assert "No space left on device" in text
    assert "free space, then run the same command again" in text
    assert "Traceback" not in text
    left = tmp_path / "left"
    assert not (left / victim).exists()
    assert not (left / ".parts" / victim).exists()
    assert not list(left.rglob("*.partial"))
    prepared(photos, tmp_path / "straight")
    straight = contents(tmp_path / "straight")
    for shard in left.glob("*.tar"):
        assert shard.read_bytes() == straight[shard.name]
        with tarfile.open(shard) as archive:
            assert len(archive.getmembers()) == 2
    shutil.copytree(left, tmp_path / "again")
    assert prepared(photos, tmp_path / "again")["accepted"] == 6
    assert contents(tmp_path / "again") == straight
    found(f"prepare: disk full, writing {victim}", 1, "0", "ends with a sentence; goes on to the same files")

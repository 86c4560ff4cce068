"""What the disk does to a verb is told in a sentence."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fer_ssl.cli import storage_told
from fer_ssl.errors import StorageError

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(errno.EACCES, "Permission denied", "faces"), True),
        (PermissionError(errno.EPERM, "Operation not permitted"), False),  # of no file: not the disk's fault
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), False),
    ],
)
def test_what_the_disk_refuses_is_one_sentence(error: OSError, told: bool) -> None:
    with pytest.raises(StorageError if told else type(error), match=str(error.strerror)), storage_told():
        raise error


def test_a_verb_on_a_full_disk_shows_no_traceback(tmp_path: Path) -> None:
    for name in ("train/happy", "train/sad", "test/sad"):
        (tmp_path / name).mkdir(parents=True)
        Image.linear_gradient("L").save(tmp_path / name / "face.png")
    verb = f"{sys.executable} -m fer_ssl.audit data=folder data.root=. hydra.run.dir=audit"
    shown = subprocess.run(
        ["bash", "-c", f"ulimit -f 1; exec {verb}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert "Traceback" not in shown.stderr
    assert "error: a file cannot be read or written ([Errno 27]" in shown.stderr

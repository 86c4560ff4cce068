"""Checkpoints on disk: damage is noticed wherever it is, and nothing in them is run."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import differences
from running import trained

from fer_ssl.checkpoints import checkpoint_path, newest_whole, read_checkpoint, require_same_run
from fer_ssl.errors import ConfigError

CONTENT = {"config": {"name": "a"}, "classes": ["calm", "glad"], "weights": torch.arange(200.0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(CONTENT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.filterwarnings("ignore")
def test_a_flipped_bit_is_noticed_or_changes_nothing(path: Path) -> None:
    whole, draw = path.read_bytes(), random.Random(0)
    refused = 0
    for place in draw.sample(range(len(whole)), 600):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            assert not differences(CONTENT, read_checkpoint(path))
        except ConfigError:
            refused += 1
    assert refused > 150  # the rest is padding, which holds nothing


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_file_is_noticed(share: float, path: Path) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ConfigError, match=r"cannot be read .* set ckpt_path=<run>/checkpoints/last\.ckpt$"):
        read_checkpoint(path)
    with pytest.raises(ConfigError, match=r"set ckpt_path=<run>/checkpoints/last\.ckpt, or auto to go on$"):
        require_same_run(path, {"ckpt_path": str(path)})


@pytest.mark.parametrize(
    ("given", "remedy"), [("last", r"hydra\.run\.dir=<the run's folder>"), ("/nowhere.ckpt", "ckpt_path=<file>")]
)
def test_the_remedy_for_a_checkpoint_that_is_not_there_is_of_what_was_given(
    given: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"there is no checkpoint .*; set {remedy}$"):
        checkpoint_path(given, tmp_path)


def test_a_program_of_torchscript_is_named_and_no_advice_given_to_run_it(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 3)).save(str(tmp_path / "program.pt"))
    with pytest.raises(ConfigError, match=r"it is a TorchScript program; save its state_dict") as raised:
        read_checkpoint(tmp_path / "program.pt")
    assert "weights_only" not in str(raised.value)


def test_the_folder_of_a_run_is_told_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder, .* set ckpt_path=\S+/checkpoints/last\.ckpt$"):
        read_checkpoint(tmp_path)


def test_a_run_does_not_go_on_from_past_its_end(tmp_path: Path) -> None:
    path, config = tmp_path / "last.ckpt", {"backbone": {}, "head": {}, "trainer": {"max_steps": 5}}
    torch.save(CONTENT | {"config": config, "global_step": 5}, path)
    wanted = config | {"ckpt_path": "last"}
    require_same_run(path, wanted)  # to be scored once more
    with pytest.raises(ConfigError, match=r"of step 5, past the end at .*=3; set trainer\.max_steps=5 or more"):
        require_same_run(path, wanted | {"trainer": {"max_steps": 3}})


def test_copies_under_names_of_their_own_are_left_alone(path: Path) -> None:
    for name in ("last-old", "last-", "last-1-old"):
        path.with_name(f"{name}.ckpt").write_bytes(path.read_bytes())
    path.rename(path.with_name("last-1.ckpt"))
    assert newest_whole(path.parent) == path.with_name("last-1.ckpt")


def test_the_newest_whole_one_is_found(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for age in (1, 2, 10):
        torch.save(CONTENT | {"age": age}, path.with_name(f"last-{age}.ckpt"))
    assert newest_whole(path.parent) == path
    path.write_bytes(b"")
    path.with_name("last-1.ckpt").unlink()
    path.with_name("last-2.ckpt").write_bytes(b"PK")
    assert newest_whole(path.parent) == path.with_name("last-10.ckpt")
    assert [record.args[0].split(" cannot")[0] for record in caplog.records] == [
        f"checkpoint {path.parent}/{name}.ckpt" for name in ("last", "last-2")
    ]


class Hostile:
    """Pickles to a call of `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("kind", ["archive", "legacy", "pickle"])
def test_a_hostile_checkpoint_is_refused_and_does_not_run(kind: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    content = CONTENT | {"config": Hostile(f"touch {trace}")}
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"config": Hostile(f"touch {trace}")}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "archive")
    with pytest.raises(
        ConfigError, match="posix.system, and reading it could run code" if kind == "archive" else "cannot be read"
    ):
        read_checkpoint(path)
    with pytest.raises(ConfigError):
        trained(tmp_path / "run", f"ckpt_path={path}")
    assert not trace.exists()
    if kind != "archive":
        return
    torch.load(path, weights_only=False)  # what was refused is indeed hostile
    assert trace.exists()


def test_as_many_states_are_kept_as_asked(tmp_path: Path) -> None:
    trained(tmp_path, "trainer.max_steps=5", "callback.checkpoint.every_n_steps=1", "callback.checkpoint.keep=3")
    folder = tmp_path / "checkpoints"
    steps = {path.name: read_checkpoint(path)["global_step"] for path in folder.iterdir()}
    assert steps == {"last.ckpt": 5, "last-1.ckpt": 4, "last-2.ckpt": 3}
    with pytest.raises(ConfigError, match="leaves nothing to resume from; set both to 1 or more"):
        trained(tmp_path, "callback.checkpoint.keep=0")

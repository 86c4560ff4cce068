"""Files of weights: which tables are found in them, and what is refused."""

import io
import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fer_ssl.errors import ConfigError
from fer_ssl.nn.weights import read_weights

WEIGHTS = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).state_dict()


def same(found: Any) -> bool:
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.SAFETENSORS"])
def test_safetensors_are_known_by_their_content(name: str, tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / name)
    assert same(read_weights(tmp_path / name))


def test_an_absent_file_names_the_override(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there are no weights .* set backbone\.init="):
        read_weights(tmp_path / "nothing.pt")


@pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors"])
def test_a_broken_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01 not weights")
    with pytest.raises(ConfigError, match=r"cannot be read safely .* set another backbone\.init"):
        read_weights(tmp_path / name)


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


class Hostile:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_hostile_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(pickle.dumps({"state_dict": Hostile(tmp_path / "touched")}))
    with pytest.raises(ConfigError, match="cannot be read safely"):
        read_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1", r"or is no file of them\); set"),
        (saved({"state_dict": {}, "args": Namespace(lr=0.1)}), r"it names argparse\.Namespace, and"),
        (scripted(), r"it is a TorchScript program; save its state_dict\); set"),
    ],
    ids=["pointer", "namespace", "script"],
)
def test_a_refusal_tells_the_cause_and_not_how_to_read_it_all_the_same(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as raised:
        read_weights(tmp_path / "weights.pth")
    assert "weights_only" not in str(raised.value)


def test_a_folder_is_told_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; set backbone\.init=\S+/checkpoints/last\.ckpt"):
        read_weights(tmp_path)


@pytest.mark.parametrize("nest", [lambda own: own | {"model": "r18"}, lambda own: {"state_dict": None, "model": own}])
def test_notes_beside_the_weights_are_no_weights(nest: Callable[[Any], Any], tmp_path: Path) -> None:
    torch.save(nest(WEIGHTS), tmp_path / "weights.pth")
    assert same(read_weights(tmp_path / "weights.pth"))


def test_weights_under_several_other_keys_are_named(tmp_path: Path) -> None:
    torch.save({"one": WEIGHTS, "other": WEIGHTS, "epoch": 3}, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"no one table of tensors by name, under one, other, epoch; set backbone"):
        read_weights(tmp_path / "weights.pth")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(WEIGHTS, path)
    whole = bytearray(path.read_bytes())
    place = whole.find(next(iter(WEIGHTS.values())).numpy().tobytes())
    assert place > 0
    whole[place] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match=r"cannot be read safely \(the checksum of its record .* does not hold\)"):
        read_weights(path)


@pytest.mark.parametrize("old", [True, False], ids=["older", "zipped"])
def test_damaged_weights_are_told_wherever_they_are_cut(old: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=not old)
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match="cannot be read safely"):
            read_weights(path)

"""Faces that moved: a run goes on with them and its pool is labeled where they are the same, and not with others."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from running import composed, trained

from fer_ssl.errors import ConfigError
from fer_ssl.moving import move, require_same_faces
from fer_ssl.pseudo_label import pseudo_label

SAVED: dict[str, Any] = {"config": {"data": {"root": None}, "unlabeled": {"root": "/home/faces"}}}
MOVED = {"data": {"root": None}, "unlabeled": {"root": "/scratch/faces"}}


def write_pool(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    for number, face in enumerate(np.random.default_rng(0).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)):
        Image.fromarray(face).save(folder / f"{number}.png")
    return folder


def labeled(run_dir: Path, *overrides: str) -> dict[str, Any]:
    options = [f"ckpt_path={run_dir}/checkpoints/last.ckpt", f"run_dir={run_dir}/labels", "accelerator=cpu"]
    return pseudo_label(composed(*options, *overrides, config="pseudo_label"))


def test_a_run_goes_on_and_is_a_teacher_where_its_pool_has_moved(tmp_path: Path) -> None:
    begun, run_dir = write_pool(tmp_path / "begun"), tmp_path / "run"
    options = ["unlabeled=folder", "ckpt_path=auto"]
    trained(run_dir, *options, f"unlabeled.root={begun}")
    moved, other = begun.rename(tmp_path / "moved"), write_pool(tmp_path / "other", 11)
    told = rf"faces of unlabeled\.root={other} are others than the run began with; set unlabeled\.root=<dir> to where"
    with pytest.raises(ConfigError, match=told):
        trained(run_dir, *options, f"unlabeled.root={other}")
    assert trained(run_dir, *options, f"unlabeled.root={moved}")["train"]["steps"] == 2
    with pytest.raises(ConfigError, match=told):
        labeled(run_dir, f"unlabeled.root={other}")
    assert labeled(run_dir, f"unlabeled.root={moved.rename(tmp_path / 'again')}")["faces"] == 12
    with pytest.raises(ConfigError, match=r"data=synthetic of the run reads no data\.root; leave data\.root=faces out"):
        labeled(run_dir, "data.root=faces")


def test_parts_are_told_where_their_faces_lie_now() -> None:
    cfg = OmegaConf.create({"data": {"name": "folder", "root": "a", "source": {"root": "a"}}, "unlabeled": {}})
    move(cfg, {"data.root": "b", "unlabeled.root": None})
    assert (cfg.data.root, cfg.data.source.root) == ("b", "b")


def test_a_checkpoint_that_is_asked_for_goes_on_with_other_faces_and_an_old_one_cannot_tell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = SAVED | {"FaceData": {"faces": "ab"}}
    with caplog.at_level(logging.WARNING):
        require_same_faces(known, "ab", MOVED)
        require_same_faces(known, "cd", SAVED["config"])  # they lie where they did
        assert not caplog.records
        require_same_faces(known, "cd", MOVED, strict=False)
        require_same_faces(SAVED, "cd", MOVED)
    assert "other faces than it began with: unlabeled.root=/scratch/faces" in caplog.text
    assert "its checkpoint does not tell" in caplog.text

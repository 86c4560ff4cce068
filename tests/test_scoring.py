"""Streamed faces that cannot be read are found while a run scores itself, by whichever rank reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from gloo import run_ranks
from PIL import Image
from running import TINY, composed

from fer_ssl import dist
from fer_ssl.inference import score_checkpoint
from fer_ssl.run import run

CLASSES = ("calm", "glad")
BROKEN = ("0.png", "1.png")  # one is read by each of two ranks
STREAMED = [
    "data=folder", "data.root=faces", f"data.classes=[{','.join(CLASSES)}]", "data.resident=never",
    "data.max_rejected=0.5", "data.leak_check=false",
]  # fmt: skip


def write_faces(root: Path) -> None:
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(6):
                face = Image.fromarray(draw.integers(0, 256, (24, 24, 3), dtype=np.uint8))
                face.save(root / split / name / f"{number}.png")
    for file in BROKEN:
        (root / "test" / CLASSES[0] / file).write_bytes(b"no image")


def train_on_all_ranks() -> dict[str, Any]:
    sizes = [option for option in TINY if not option.startswith("data.")]
    ranks = ["trainer=ddp_cpu", f"trainer.devices={dist.world_size()}"]
    alone = ["unlabeled=none", "loss=[supervised]", "data.val_fraction=0"]
    run(composed(*sizes, *STREAMED, *ranks, *alone, "run_dir=run"))
    return {}


def test_a_run_leaves_the_faces_out_of_its_scores_that_evaluate_does(tmp_path: Path, monkeypatch: Any) -> None:
    write_faces(tmp_path / "faces")
    run_ranks(train_on_all_ranks, tmp_path)
    monkeypatch.chdir(tmp_path)
    theirs = score_checkpoint(
        composed(*STREAMED, "ckpt_path=run/checkpoints/last.ckpt", "run_dir=evaluated", config="evaluate")
    )
    ours = json.loads(Path("run/metrics.json").read_text())
    assert ours["test"]["count"] == theirs["test"]["count"] == 12 - len(BROKEN)
    assert ours["test"]["confusion"] == theirs["test"]["confusion"]
    told = [pq.read_table(f"{folder}/predictions.parquet").column("id").to_pylist() for folder in ("run", "evaluated")]
    assert told[0] == told[1]
    assert all(file in Path("run/rejected.csv").read_text() for file in BROKEN)

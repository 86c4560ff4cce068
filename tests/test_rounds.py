"""Rounds of self-training: the pool is labeled, selected, taught, and a stopped series goes on."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from comparing import weights
from PIL import Image
from running import TINY, composed, trained
from torch import Tensor

from fer_ssl import rounds
from fer_ssl.build import build_model
from fer_ssl.checkpoints import load_average, read_checkpoint
from fer_ssl.data.module import FaceData
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.method.functional import dtm_threshold
from fer_ssl.method.thresholds import DynamicThreshold
from fer_ssl.module import SemiSupervised
from fer_ssl.rounds import label_pool, round_config, select, self_train
from fer_ssl.types import Batch, LabeledView

OPEN = "selection.threshold.floor=0.0"  # two steps make no confident teacher


def in_rounds(run_dir: Path, *overrides: str) -> Any:
    return composed(*TINY, f"run_dir={run_dir}", "rounds=2", OPEN, *overrides, config="self_train")


def selection(*overrides: str) -> Any:
    return composed("run_dir=.", OPEN, *overrides, config="pseudo_label").selection


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of a teacher that has learned for six steps."""
    run_dir = tmp_path_factory.mktemp("teacher")
    trained(run_dir, "trainer.max_steps=6")
    return run_dir


def test_the_whole_pool_is_labeled_and_selected_class_by_class(teacher: Path, tmp_path: Path) -> None:
    checkpoint = teacher / "checkpoints" / "last.ckpt"
    path = tmp_path / "labels.parquet"
    summary = label_pool(checkpoint, selection(), "cpu", path)
    labeled = rows(path)
    manifest = [row for row in rows(teacher / "manifest.parquet") if row["role"] == "pool"]
    assert [row["id"] for row in labeled] == [row["id"] for row in manifest]
    assert all(row["keep"] == (row["confidence"] >= row["tau"]) for row in labeled)
    taus = {(row["pseudo_label"], row["tau"]) for row in labeled}
    assert len(taus) == len({label for label, _ in taus}), "one threshold per class"
    assert sum(summary["kept"].values()) == sum(row["keep"] for row in labeled) > 0
    assert summary["faces"] == 96
    assert 0 <= summary["accuracy"] <= 1


def test_labels_are_the_averaged_teachers(teacher: Path, tmp_path: Path) -> None:
    checkpoint = teacher / "checkpoints" / "last.ckpt"
    label_pool(checkpoint, selection(), "cpu", tmp_path / "labels.parquet")
    cfg = composed(*TINY, "run_dir=.")
    data: FaceData = rounds.build_data(cfg)
    data.setup()
    model = build_model(cfg, 7).eval()
    load_average(model, read_checkpoint(checkpoint))
    with torch.inference_mode():
        probs = model(data.pool.images.read(torch.arange(96))).logits.softmax(1)
    labeled = rows(tmp_path / "labels.parquet")
    assert [row["pseudo_label"] for row in labeled] == probs.argmax(1).tolist()
    torch.testing.assert_close(torch.tensor([row["confidence"] for row in labeled]), probs.amax(1))


def test_dtm_selects_by_its_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    seen, pool = (torch.randn(200, 3, generator=generator).mul(2).softmax(1) for _ in range(2))
    labels = torch.arange(200) % 3
    gate = select(DynamicThreshold(3, floor=0.2), 6, LabeledView(seen, labels), pool)
    correct = seen.argmax(1) == labels
    sums = torch.stack([seen.amax(1)[correct & (labels == label)].sum() for label in range(3)])
    counts = torch.stack([(correct & (labels == label)).sum() for label in range(3)])
    tau = dtm_threshold(sums.double(), counts.double(), 6, 0.97, 2.718281828459045, 0.2).float()
    torch.testing.assert_close(gate.tau, tau)
    assert torch.equal(gate.keep, (pool.amax(1) >= tau[pool.argmax(1)]).float())


def test_labels_already_made_are_left_and_others_made_anew(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path = teacher / "checkpoints" / "last.ckpt", tmp_path / "labels.parquet"
    first = label_pool(checkpoint, selection(), "cpu", path)
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "predict", lambda *_: pytest.fail("the pool is labeled twice"))
        assert label_pool(checkpoint, selection(), "cpu", path) == first
    other = label_pool(checkpoint, selection("selection.threshold.beta=0.5"), "cpu", path)
    assert other["origin"] != first["origin"]


@pytest.mark.parametrize(
    ("part", "overrides"),
    [
        ("CReSTThreshold", ["threshold@selection.threshold=crest"]),
        ("Aligned", [OPEN, "selection.threshold.init=0.0", "alignment@selection.alignment=labeled"]),
    ],
)
def test_another_threshold_or_an_alignment_may_select(
    part: str, overrides: list[str], teacher: Path, tmp_path: Path
) -> None:
    chosen = composed("run_dir=.", *overrides, config="pseudo_label").selection
    assert part in f"{chosen.threshold._target_} {chosen.alignment._target_}"
    path = tmp_path / "labels.parquet"
    summary = label_pool(teacher / "checkpoints" / "last.ckpt", chosen, "cpu", path)
    assert sum(summary["kept"].values()) == sum(row["keep"] for row in rows(path)) > 0


@pytest.mark.parametrize("overrides", [["threshold=freematch"], ["threshold=fixed", "alignment=estimated"]])
def test_what_follows_training_cannot_select(overrides: list[str], teacher: Path, tmp_path: Path) -> None:
    parts = ["{0}@selection.{0}={1}".format(*each.split("=")) for each in overrides]
    chosen = composed("run_dir=.", *parts, config="pseudo_label").selection
    with pytest.raises(ConfigError, match=r"follows training .* set threshold@selection\.threshold=dtm_relative"):
        label_pool(teacher / "checkpoints" / "last.ckpt", chosen, "cpu", tmp_path / "labels.parquet")


def test_rounds_teach_what_the_round_before_kept(tmp_path: Path) -> None:
    figures = self_train(in_rounds(tmp_path, "+experiment=self_training"))
    assert [figure["round"] for figure in figures] == [0, 1, 2]
    assert json.loads((tmp_path / "rounds.json").read_text())["rounds"] == figures
    for number in (1, 2):
        kept = {
            row["id"]: row["pseudo_label"]
            for row in rows(tmp_path / f"round_{number - 1}/pool_labels.parquet")
            if row["keep"]
        }
        manifest = rows(tmp_path / f"round_{number}" / "manifest.parquet")
        assert {row["id"]: row["label"] for row in manifest if row["role"] == "pseudo"} == kept
        assert sum(row["role"] == "labeled" for row in manifest) == 70
    assert not any(row["role"] == "pseudo" for row in rows(tmp_path / "round_0" / "manifest.parquet"))
    assert (tmp_path / "round_2" / "report.html").exists()


class KilledError(Exception):
    """Stands for the end of the process."""


def test_a_stopped_series_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["+experiment=crest_plus", "trainer.max_steps=4", "callback.checkpoint.every_n_steps=1"]
    whole = self_train(in_rounds(tmp_path / "whole", *options))
    step, seen = SemiSupervised.training_step, []

    def dying(self: SemiSupervised, batch: Batch, batch_idx: int) -> Tensor:
        seen.append(batch.position)
        if len(seen) == 7:  # in the midst of round 1
            raise KilledError
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(SemiSupervised, "training_step", dying)
        with pytest.raises(KilledError):
            self_train(in_rounds(tmp_path / "broken", *options))
    finished = (tmp_path / "broken/round_0/metrics.json").stat().st_mtime_ns
    broken = self_train(in_rounds(tmp_path / "broken", *options))
    assert (tmp_path / "broken/round_0/metrics.json").stat().st_mtime_ns == finished
    assert [figure["test"] for figure in broken] == [figure["test"] for figure in whole]
    ours, theirs = weights(tmp_path / "whole" / "round_2"), weights(tmp_path / "broken" / "round_2")
    assert all(torch.equal(ours[name].nan_to_num(), theirs[name].nan_to_num()) for name in ours)


def test_a_series_asked_to_leave_tells_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = in_rounds(tmp_path, "+experiment=crest_plus", "trainer.max_steps=3")
    step = SemiSupervised.training_step

    def asked(self: SemiSupervised, batch: Batch, batch_idx: int) -> Tensor:
        signal.raise_signal(signal.SIGTERM)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(SemiSupervised, "training_step", asked)
        with pytest.raises(SystemExit):
            self_train(cfg)
    assert caplog.messages[-1] == f"left in round 0; the same command with hydra.run.dir={tmp_path} goes on from there"


def test_rounds_approach_the_temperature_from_one() -> None:
    cfg = composed(*TINY, "run_dir=.", "+experiment=crest_plus", "rounds=4", config="self_train")
    configs = [round_config(cfg, number) for number in range(5)]
    assert [own.alignment.temperature for own in configs] == pytest.approx([1.0, 0.875, 0.75, 0.625, 0.5])
    assert [own.data.pseudo_labels for own in configs[:2]] == [None, "round_0/pool_labels.parquet"]
    assert {own.ckpt_path for own in configs} == {"auto"}


def test_a_teacher_without_a_pool_labels_nothing(tmp_path: Path) -> None:
    trained(tmp_path, "+experiment=supervised")
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match=r"had no pool to label; train with unlabeled=same"):
        label_pool(checkpoint, selection(), "cpu", tmp_path / "labels.parquet")


@pytest.mark.parametrize("part", ["data", "unlabeled", "sampler"])
def test_a_checkpoint_that_asks_for_a_strangers_part_is_refused(part: str, teacher: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(teacher / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["config"][part]["source"] = {"_target_": "os.system", "command": f"touch {tmp_path}/ran"}
    torch.save(checkpoint, tmp_path / "hostile.ckpt")
    with pytest.raises(ConfigError, match=r"asks for os\.system, .* set allow_targets="):
        label_pool(tmp_path / "hostile.ckpt", selection(), "cpu", tmp_path / "labels.parquet")
    assert not (tmp_path / "ran").exists()


def test_labeled_faces_that_the_run_has_not_are_told(teacher: Path, tmp_path: Path) -> None:
    chosen, checkpoint = selection("selection.observe=heldout"), teacher / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match=r"observe=heldout, .* set selection\.observe to labeled or val"):
        label_pool(checkpoint, chosen, "cpu", tmp_path / "labels.parquet")


def test_a_face_that_has_left_the_pool_is_labeled_no_more(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    (tmp_path / "pool").mkdir()
    for number, face in enumerate(pixels):
        Image.fromarray(face).save(tmp_path / "pool" / f"{number:02d}.png")
    trained(tmp_path / "run", "unlabeled=folder", f"unlabeled.root={tmp_path / 'pool'}")
    checkpoint, path = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "labels.parquet"
    assert label_pool(checkpoint, selection(), "cpu", path)["faces"] == 12
    (tmp_path / "pool" / "03.png").unlink()
    assert label_pool(checkpoint, selection(), "cpu", path)["faces"] == 11
    assert "03.png" not in [row["id"] for row in rows(path)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("threshold@selection.threshold=dash", r"follows training .* set threshold@selection\.threshold=dtm_relative"),
        ("selection.epoch=null", r"selection\.epoch=null is no number of epochs; set selection\.epoch=6"),
        ("selection.observe=test", r"selection\.observe=test is not a choice; .* one of labeled, heldout, val"),
        ("selection.observe=heldout", r"observe=heldout needs faces .* set data\.heldout_fraction=0\.2"),
        ("+selection.threshold.bta=1", r"selection\.threshold\.bta is no setting of RelativeDynamicThreshold"),
        ("rounds=0", r"rounds=0 makes no student; set rounds=1"),
        ("trainer.devices=2", r"set trainer\.devices=1, not 2"),
        ("unlabeled=none", r"self-training labels a pool; set unlabeled=same"),
    ],
)
def test_rounds_that_cannot_be_are_told_before_any_trains(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "run", lambda _: pytest.fail("a round is trained"))
    cfg = composed(*TINY, f"run_dir={tmp_path}", "loss=[supervised]", override, config="self_train")
    with pytest.raises(ConfigError, match=message):
        self_train(cfg)


def test_validation_faces_that_no_set_brings_are_missed_before_any_round_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "run", lambda _: {}["a round is trained"])
    observing = ["data.val_fraction=0", "selection.observe=val"]
    with pytest.raises(ConfigError, match=r"selection\.observe=val, .* set selection\.observe to labeled"):
        self_train(in_rounds(tmp_path, *observing, "data.source.val=0"))
    with pytest.raises(KeyError, match="a round is trained"):
        self_train(in_rounds(tmp_path, *observing))


def test_a_selection_that_keeps_nobody_is_told(tmp_path: Path) -> None:
    strict = ["threshold@selection.threshold=fixed", "selection.threshold.tau=1"]
    cfg = composed(*TINY, f"run_dir={tmp_path}", "+experiment=self_training", *strict, config="self_train")
    with pytest.raises(DataError, match=r"keeps no face; make it anew with a lower .* selection\.threshold\.tau of"):
        self_train(cfg)

"""Whole runs: every experiment trains and leaves its files, and what parts ask of a run is there."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from comparing import assert_same_weights, weights
from running import FROM_SCRATCH, TINY, composed, trained
from test_conf import EXPERIMENTS

from fer_ssl.build import build_data, build_model, build_module, known
from fer_ssl.checkpoints import load_average, read_checkpoint
from fer_ssl.errors import ConfigError, DivergedError
from fer_ssl.inference import score_checkpoint
from fer_ssl.method.losses import InfoNCE
from fer_ssl.method.thresholds import DynamicThreshold
from fer_ssl.run import run
from fer_ssl.scoring import predict
from fer_ssl.types import LabelSpace

FILES = {
    "config.yaml", "data.json", "manifest.parquet", "metrics.json", "history.csv", "predictions.parquet", "report.html",
    "views.png",
}  # fmt: skip


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_trains_and_leaves_its_files(name: str, tmp_path: Path) -> None:
    metrics = trained(tmp_path, f"+experiment={name}", *FROM_SCRATCH.get(name, []))
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert {"commit", "torch", "device", "cpu", "threads"} <= metrics["environment"].keys()
    assert metrics["environment"]["cpu"].endswith((", with AMX", ", without AMX"))
    assert metrics["train"]["steps"] == 2
    assert metrics["train"]["images_per_second"] > 0
    assert {"macro_f1", "accuracy", "balanced_accuracy", "per_class_f1"} <= metrics["test"].keys() & metrics[
        "val"
    ].keys()
    predictions = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert len(predictions) == 42 + 21
    test = [row for row in predictions if row["split"] == "test"]
    right = sum(row["label"] == row["prediction"] for row in test) / len(test)
    assert right == pytest.approx(metrics["test"]["accuracy"])
    taught = {"pseudo_label", "mixed_unlabeled", "abc"} & composed(f"+experiment={name}").loss.keys()
    assert (tmp_path / "pseudo_labels.parquet").exists() == bool(taught)


def test_of_faces_that_are_weighed_none_is_shown_as_left_out(tmp_path: Path) -> None:
    trained(tmp_path, "+experiment=softmatch")
    sampled = pq.read_table(tmp_path / "pseudo_labels.parquet").to_pylist()
    assert len(sampled) == 48
    assert all(row["keep"] == 1 for row in sampled)


def test_the_best_checkpoint_is_kept_beside_the_last(tmp_path: Path) -> None:
    trained(tmp_path, "trainer.max_steps=4", "callback.checkpoint.best=true")
    files = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert files == {"last.ckpt", "best.ckpt"}
    history = list(csv.DictReader((tmp_path / "history.csv").open()))
    scores = [float(row["val/macro_f1"]) for row in history if row["val/macro_f1"]]
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["callbacks"]["LastCheckpoint"]["best_score"] == pytest.approx(max(scores))


def test_a_run_starts_from_pretrained_features(tmp_path: Path) -> None:
    metrics = trained(tmp_path / "pre", "+experiment=pretrain_infonce")
    assert 0 < metrics["test"]["macro_f1"] < 1
    features = {name: value for name, value in weights(tmp_path / "pre").items() if "average.backbone" in name}
    init = f"backbone.init={tmp_path}/pre/checkpoints/last.ckpt"
    started = build_module(
        composed(*TINY, "+experiment=supervised", init, "run_dir=."), LabelSpace("7", tuple("abcdefg"))
    )
    ours = started.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in features.items())
    options = ["+experiment=supervised", init, "trainer.max_steps=4", "schedule=constant"]
    trained(tmp_path / "whole", *options)
    trained(tmp_path / "broken", *options, "trainer.max_steps=2")
    (tmp_path / "pre" / "checkpoints" / "last.ckpt").unlink()  # neither resuming nor scoring needs it
    trained(tmp_path / "broken", *options, "ckpt_path=last")
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")
    sizes = [option for option in TINY if option.startswith("data.")]
    checkpoint = f"ckpt_path={tmp_path}/whole/checkpoints/last.ckpt"
    assert score_checkpoint(composed(checkpoint, f"run_dir={tmp_path}", *sizes, config="evaluate"))["test"]


@pytest.mark.parametrize("name", ["mean_teacher", "pi_model"])
def test_two_opinions_on_a_face_differ_and_the_term_rises(name: str, tmp_path: Path) -> None:
    trained(tmp_path, f"+experiment={name}")
    first, second = (
        float(row["train/pseudo_label"]) for row in list(csv.DictReader((tmp_path / "history.csv").open()))[:2]
    )
    assert first == 0
    assert second > 0


def test_a_classifier_that_no_term_teaches_is_told_in_the_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path, "loss=[plain]", "head.projection=null", "sampler=natural")
    assert not read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["learns_labels"]


def test_a_typed_value_stands_where_the_data_would_fill_it_in() -> None:
    facts = {"class_counts": [1, 1, 1], "max_steps": 9}
    node = composed("alignment=labeled", "alignment.class_counts=[7,2,1]", "run_dir=.").alignment
    assert known(node, facts) == {}
    assert known(composed("alignment=labeled", "run_dir=.").alignment, facts) == {"class_counts": [1, 1, 1]}


def test_pseudo_labels_of_an_earlier_round_are_what_losses_correct_for_and_alignment_does_not() -> None:
    cfg = composed(*TINY, "alignment=labeled", "threshold=fixed", "loss=[supervised_logit_adjusted]", "run_dir=.")
    module = build_module(cfg, LabelSpace("2", ("a", "b")), 9, 0, class_counts=[3, 1], taught_counts=[4, 4])
    torch.testing.assert_close(module.threshold.alignment.target, torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(module.terms["supervised"].log_prior.exp(), torch.tensor([0.5, 0.5]))


def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(tmp_path / name, f"seed={seed}")
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a", tmp_path / "c")


def test_accumulated_batches_update_teacher_and_threshold_once(tmp_path: Path) -> None:
    nested = ("alignment=uniform", "+experiment=dtm_quantile", "threshold.inner.update_every=2")
    trained(tmp_path, *nested, "trainer.accumulate_grad_batches=3", "epoch_steps=6")
    state = weights(tmp_path)
    assert int(state["teacher.updates"]) == 2
    assert int(state["threshold.threshold.inner.epoch"]) == 1


def test_a_heldout_fold_calibrates_the_threshold(tmp_path: Path) -> None:
    trained(tmp_path, "threshold.pool=heldout", "data.heldout_fraction=0.3", "threshold.floor=0.0")
    state = weights(tmp_path)
    assert int(state["threshold.epoch"]) == 1
    assert not torch.equal(state["threshold.tau"], torch.full((7,), 0.8))
    roles = pq.read_table(tmp_path / "manifest.parquet")["role"].to_pylist()
    assert roles.count("heldout") == pytest.approx(0.3 * 70, abs=4)


def test_the_ancestor_asks_its_average_about_all_labeled_faces(tmp_path: Path) -> None:
    options = ["+experiment=adacm", *TINY, "threshold.floor=0.0", f"run_dir={tmp_path}"]
    cfg = composed(*options)
    run(cfg)
    checkpoint, data = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt"), build_data(cfg)
    data.setup()
    model = build_model(cfg, 7)
    load_average(model, checkpoint)
    threshold = DynamicThreshold(7, floor=0.0, pool="labeled")
    threshold.observe(predict(model, data.eval_loader(data.labeled)))
    threshold.end_epoch()
    assert threshold.tau.max() > 0
    torch.testing.assert_close(checkpoint["state_dict"]["threshold.tau"], threshold.tau)


def test_a_heldout_fold_tells_the_confusion_behind_an_estimated_prior(tmp_path: Path) -> None:
    trained(tmp_path, "alignment=estimated", "alignment.pool=heldout", "data.heldout_fraction=0.3")
    confusion = weights(tmp_path)["threshold.alignment.pool_prior.confusion"]
    assert confusion.sum().item() == pytest.approx(0.3 * 70, abs=4)


def test_class_frequencies_reach_the_terms(tmp_path: Path) -> None:
    trained(tmp_path, "+experiment=ldam", "data.heldout_fraction=0.3")
    rows = pq.read_table(tmp_path / "manifest.parquet").to_pylist()
    counts = torch.bincount(torch.tensor([row["label"] for row in rows if row["role"] == "labeled"]))
    assert counts.max() > 2 * counts.min()
    torch.testing.assert_close(weights(tmp_path)["terms.supervised.margins"], 15 * (counts.min() / counts) ** 0.25)


def test_a_diverged_term_is_named_and_the_last_good_checkpoint_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = InfoNCE.forward

    def breaking(self: InfoNCE, step: Any) -> torch.Tensor:
        return forward(self, step) * (float("nan") if step.global_step >= 3 else 1.0)

    monkeypatch.setattr(InfoNCE, "forward", breaking)
    with pytest.raises(DivergedError, match=r"loss term infonce became NaN .* lower optim\.lr"):
        trained(tmp_path, "trainer.max_steps=6", "callback.checkpoint.every_n_steps=1", "trainer.log_every_n_steps=2")
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert all(torch.isfinite(value).all() for name, value in weights(tmp_path).items() if "tally" not in name)


def test_evaluate_scores_what_training_reported(tmp_path: Path) -> None:
    metrics = trained(tmp_path / "run")
    sizes = [option for option in TINY if option.startswith("data.")]
    cfg = composed(f"ckpt_path={tmp_path}/run/checkpoints/last.ckpt", f"run_dir={tmp_path}", *sizes, config="evaluate")
    scores = score_checkpoint(cfg)
    assert scores["test"] == metrics["test"]
    assert scores["data"] == "synthetic"
    assert (tmp_path / "predictions.parquet").exists()
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    cfg.run_dir = str(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"another verb wrote, config\.yaml; set hydra\.run\.dir="):
        score_checkpoint(cfg)
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


def test_wandb_writes_offline_and_each_run_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trained(tmp_path / name, "logger=[csv,tensorboard,wandb]")
        assert len(list((tmp_path / name / "wandb").glob("offline-run-*"))) == 1
        assert list((tmp_path / name / "tensorboard").glob("events*"))


def test_running_statistics_follow_no_strong_view_beside_mixed_clean_ones() -> None:
    space = LabelSpace("two", ("a", "b"))
    module = build_module(composed(*TINY, "+experiment=remixmatch", "passes=two", "run_dir=."), space, 9)
    before = {name: buffer.clone() for name, buffer in module.model.named_buffers() if "running" in name}
    module.train().run_student({view: torch.rand(4, 3, 24, 24) for view in ("strong", "rotated")})
    assert before
    assert all(torch.equal(module.model.get_buffer(name), buffer) for name, buffer in before.items())


def test_a_run_warns_of_the_run_before_in_its_folder_and_removes_what_it_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(tmp_path)
    assert (tmp_path / "pseudo_labels.parquet").exists()
    assert "holds an earlier run" not in caplog.text
    trained(tmp_path, "+experiment=supervised")
    assert f"{tmp_path} holds an earlier run, which this one replaces; hydra.run.dir=<dir> keeps it" in caplog.text
    assert not (tmp_path / "pseudo_labels.parquet").exists()

"""The metric of a split: against golden values, batch by batch, and over processes."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from fer_ssl.errors import DataError
from fer_ssl.metrics import ExpressionMetrics, Scores
from fer_ssl.types import UNKNOWN

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "metrics_f1.npz")
CASES = ["all", "absent_both", "absent_true", "absent_pred", "single", "tiny"]
CLASSES = [f"class{c}" for c in range(8)]


def random_batch(count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 8, (count,), generator=draw)
    logits = torch.randn(count, 8, generator=draw) + 2 * torch.nn.functional.one_hot(labels, 8)
    return logits.softmax(1), labels


def score(probs: Tensor, labels: Tensor) -> Scores:
    metric = ExpressionMetrics(8)
    metric.update(probs, labels)
    return metric.compute()


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_scikit_learn(case: str) -> None:
    truth, predicted = (torch.from_numpy(GOLDEN[f"{case}.{name}"]) for name in ("y_true", "y_pred"))
    scores = score(torch.nn.functional.one_hot(predicted, 8).float(), truth)
    np.testing.assert_array_equal(scores.confusion, GOLDEN[f"{case}.confusion"])
    assert scores.macro_f1 == pytest.approx(GOLDEN[f"{case}.macro_f1_8"], abs=1e-12)
    assert scores.accuracy == pytest.approx(GOLDEN[f"{case}.accuracy"], abs=1e-12)
    assert scores.balanced_accuracy == pytest.approx(GOLDEN[f"{case}.balanced_accuracy_present"], abs=1e-12)
    assert scores.ece == pytest.approx(1 - scores.accuracy)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 200), st.integers(0, 99))
def test_calibration_error_agrees_with_torchmetrics(count: int, seed: int) -> None:
    probs, labels = random_batch(count, seed)
    expected = multiclass_calibration_error(probs, labels, num_classes=8, n_bins=15).item()
    assert score(probs, labels).ece == pytest.approx(expected, abs=1e-5)


def test_sure_and_right_is_calibrated() -> None:
    assert score(torch.eye(8), torch.arange(8)).ece == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 60), st.integers(1, 7), st.integers(0, 99))
def test_batches_add_up(count: int, size: int, seed: int) -> None:
    probs, labels = random_batch(count, seed)
    whole, parts = score(probs, labels), ExpressionMetrics(8)
    for rows in torch.arange(count).split(size):
        parts.update(probs[rows], labels[rows])
    assert parts.compute().count == count
    torch.testing.assert_close(parts.compute().confusion, whole.confusion)
    assert parts.compute().ece == pytest.approx(whole.ece, abs=1e-9)


def test_forward_counts_each_face_once() -> None:
    metric = ExpressionMetrics(8)
    probs, labels = random_batch(12, seed=0)
    of_batch = metric(probs, labels)
    metric(probs[:4], labels[:4])
    assert (of_batch.count, metric.compute().count) == (12, 16)


def test_unknown_labels_are_left_out() -> None:
    probs, labels = random_batch(40, seed=1)
    hidden = labels.clone()
    hidden[::3] = UNKNOWN
    assert score(probs, hidden).to_dict(CLASSES) == score(probs[hidden >= 0], labels[hidden >= 0]).to_dict(CLASSES)


def test_nothing_known_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="no face with a known label"):
        score(torch.full((3, 8), 1 / 8), torch.full((3,), UNKNOWN))


def test_label_outside_the_space_is_refused() -> None:
    with pytest.raises(RuntimeError, match="8"):
        score(torch.full((1, 8), 1 / 8), torch.tensor([8]))


def test_to_dict_is_plain_json() -> None:
    scores = score(*random_batch(50, seed=2))
    saved = json.loads(json.dumps(scores.to_dict(CLASSES)))
    assert saved["count"] == 50 == sum(map(sum, saved["confusion"]))
    assert list(saved["per_class_f1"]) == list(saved["per_class_recall"]) == CLASSES
    assert sum(saved["per_class_f1"].values()) / 8 == pytest.approx(saved["macro_f1"])
    with pytest.raises(ValueError, match="longer"):
        scores.to_dict(CLASSES[:-1])


def test_state_survives_a_checkpoint(tmp_path: Path) -> None:
    probs, labels = random_batch(30, seed=3)
    metric, resumed = ExpressionMetrics(8), ExpressionMetrics(8)
    for each in (metric, resumed):
        each.persistent(True)
    metric.update(probs, labels)
    torch.save(metric.state_dict(), tmp_path / "metric.ckpt")
    resumed.load_state_dict(torch.load(tmp_path / "metric.ckpt", weights_only=True))
    torch.testing.assert_close(resumed.confusion, metric.confusion)
    torch.testing.assert_close(resumed.bin_gap, metric.bin_gap)


def _score_shard(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    probs, labels = random_batch(31, seed=4)
    scores = score(probs[rank::2], labels[rank::2])
    (folder / f"{rank}.json").write_text(json.dumps(scores.to_dict(CLASSES)))
    torch.distributed.destroy_process_group()


def test_two_processes_score_like_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_score_shard, args=(rank, tmp_path)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=30)
    whole = score(*random_batch(31, seed=4)).to_dict(CLASSES)
    for rank in range(2):
        saved = json.loads((tmp_path / f"{rank}.json").read_text())
        assert saved.pop("ece") == pytest.approx(whole["ece"])
        assert saved == {name: value for name, value in whole.items() if name != "ece"}

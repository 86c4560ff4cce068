"""Classifiers fitted to features after training: the nearest class mean, and logistic regression."""

from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import run_ranks
from making import faces
from running import TINY, composed, trained
from torch import nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.check import check
from fer_ssl.checkpoints import read_checkpoint
from fer_ssl.data.loader import EvalLoader
from fer_ssl.dist import rank, world_size
from fer_ssl.errors import ConfigError
from fer_ssl.inference import score_checkpoint
from fer_ssl.method.functional import one_hot
from fer_ssl.nn.backbones import SmallConvNet
from fer_ssl.nn.heads import CosineHead, LinearHead
from fer_ssl.nn.model import FaceModel
from fer_ssl.refit import LogisticRegression, fit_class_means, fit_logistic
from fer_ssl.scoring import read_features, score
from fer_ssl.types import Output

LABELED = faces([0, 1, 2, 2] * 5, seed=3)


def network(head: type = LinearHead) -> FaceModel:
    torch.manual_seed(0)
    return FaceModel(SmallConvNet((4, 4, 4, 4, 4, 8)), head, classes=3).requires_grad_(False)


def features_of(model: FaceModel) -> torch.Tensor:
    features: torch.Tensor = model.eval().backbone(model.normalize(LABELED.images.read(torch.arange(20))))
    return features


def clouds(counts: tuple[int, ...], apart: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normal clouds of features [N, 5] that overlap, and their labels."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    centres = 3 * torch.randn(len(counts), 5, generator=generator)
    return apart * centres[labels] + 4 * torch.randn(len(labels), 5, generator=generator) + 7, labels


def test_class_means_classify_by_the_nearest_one() -> None:
    model = network()
    fit_class_means(model, EvalLoader(LABELED, 7), 3)
    features = features_of(model)
    means = torch.stack([features[LABELED.labels == label].mean(0) for label in range(3)])
    nearest = torch.cdist(features, means).argmin(1)
    assert torch.equal(score(model, EvalLoader(LABELED, 7), 3).probs.argmax(1), nearest)


def test_class_means_give_the_probabilities_of_equal_clouds_around_them() -> None:
    model = network()
    fit_class_means(model, EvalLoader(LABELED, 7), 3)
    features = features_of(model)
    means = torch.stack([features[LABELED.labels == label].mean(0) for label in range(3)])
    variance = (features - means[LABELED.labels]).square().mean()
    expected = (-torch.cdist(features, means).square() / (2 * variance)).softmax(1)
    torch.testing.assert_close(score(model, EvalLoader(LABELED, 7), 3).probs, expected, atol=1e-4, rtol=1e-3)


def test_a_class_without_faces_is_never_predicted() -> None:
    model = network()
    fit_class_means(model, EvalLoader(faces([0, 1] * 4), 4), 3)
    assert all(torch.isfinite(each).all() for each in model.head.classifier.parameters())
    far = torch.randn(500, 8, generator=torch.Generator().manual_seed(4))  # of no mean, most of them nearer the origin
    logits = model.head.classifier(far)
    assert set(logits.argmax(1).tolist()) == {0, 1}
    assert not logits.softmax(1)[:, 2].any()


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 2]])
def test_one_face_of_each_class_is_enough_for_finite_means(labels: list[int]) -> None:
    model, few = network(), faces(labels, seed=5)
    fit_class_means(model, EvalLoader(few, 4), 3)
    scored = score(model, EvalLoader(few, 4), 3)
    assert scored.probs.argmax(1).tolist() == labels
    assert scored.probs[:, labels].min() > 0  # the classes' own spread is not known, so that of all faces is taken


def test_the_cosine_head_gets_the_direction_of_the_means() -> None:
    model = network(CosineHead)
    fit_class_means(model, EvalLoader(LABELED, 7), 3)
    features = features_of(model)
    means = torch.stack([features[LABELED.labels == label].mean(0) for label in range(3)])
    nearest = torch.cosine_similarity(features.unsqueeze(1), means.unsqueeze(0), dim=2).argmax(1)
    assert torch.equal(score(model, EvalLoader(LABELED, 7), 3).probs.argmax(1), nearest)


def test_logistic_regression_stands_where_its_loss_is_flat() -> None:
    features, labels = clouds((30, 30, 30))
    targets, rows = one_hot(labels, 3), torch.rand(90, generator=torch.Generator().manual_seed(2))
    weight, bias = (each.double().requires_grad_() for each in fit_logistic(features, targets, rows, 0.2))
    each = F.cross_entropy(features.double() @ weight + bias, targets.double(), reduction="none")
    loss = (rows * each).sum() / rows.sum() + 0.2 * weight.square().sum()
    gradients = torch.autograd.grad(loss, (weight, bias))
    assert all(gradient.abs().max() < 2e-3 for gradient in gradients)
    assert loss < torch.tensor(3.0).log()


def test_classes_count_alike_however_many_faces_they_have() -> None:
    features, labels = clouds((60, 20, 10))
    normal, targets = (features - features.mean(0)) / features.std(0), one_hot(labels, 3)
    expected = fit_logistic(normal, targets, (1 / torch.bincount(labels))[labels], 0.3)
    weight, bias = LogisticRegression(penalty=0.3, rounds=0).fit(features, targets, None)
    torch.testing.assert_close(features @ weight.T + bias, normal @ expected[0] + expected[1], atol=2e-3, rtol=1e-3)


def test_a_round_teaches_what_the_classifier_says_of_the_pool_for_its_frequencies() -> None:
    labeled, labels = clouds((10, 10, 10))
    pool, truth = clouds((400, 40, 10))
    targets, fit = one_hot(labels, 3), LogisticRegression(penalty=0.1, rounds=1)
    weight, bias = fit.fit(labeled, targets, pool)
    mean, deviation = labeled.mean(0), labeled.std(0)
    before = LogisticRegression(penalty=0.1, rounds=0).fit(labeled, targets, None)
    logits = pool @ before[0].T + before[1]
    said = (logits + logits.softmax(1).mean(0).log()).softmax(1)
    everyone = (torch.cat([labeled, pool]) - mean) / deviation
    expected = fit_logistic(everyone, torch.cat([targets, said]), torch.ones(480), 0.1)
    torch.testing.assert_close(pool @ weight.T + bias, everyone[30:] @ expected[0] + expected[1], atol=5e-3, rtol=1e-2)
    right = ((pool @ weight.T + bias).argmax(1) == truth).float().mean()
    assert right > (logits.argmax(1) == truth).float().mean()


def test_a_feature_that_the_pool_alone_shows_stays_in_its_proportion() -> None:
    labeled, labels = clouds((10, 10, 10))
    pool, _ = clouds((60, 60, 60))
    extra = torch.randn(len(pool), 1, generator=torch.Generator().manual_seed(4))
    fit, targets = LogisticRegression(penalty=0.1, rounds=1), one_hot(labels, 3)
    weight, bias = fit.fit(torch.cat([labeled, torch.zeros(30, 1)], 1), targets, torch.cat([pool, extra], 1))
    expected = fit.fit(labeled, targets, pool)
    logits, without = torch.cat([pool, extra], 1) @ weight.T + bias, pool @ expected[0].T + expected[1]
    torch.testing.assert_close(logits, without, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("bad", ["rounds=-1", "rounds=1.5", "pool_faces=0", "penalty=-1"])
def test_settings_that_make_no_sense_are_told_before_the_run(bad: str) -> None:
    with pytest.raises(ConfigError, match=rf"refit\.{bad} (makes no sense|is no whole number); set refit\."):
        check(composed("refit=logistic", f"refit.{bad}", "run_dir=."))


class Bent(nn.Module):
    """A head of somebody's own, whose classifier is no matrix."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Sequential(nn.Linear(features, classes), nn.Tanh())

    def forward(self, features: torch.Tensor) -> Output:
        return Output(self.classifier(features), F.normalize(features, dim=1))


BENT = ["head._target_=test_refit.Bent", "~head.projection", "~head.norm"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["refit=logistic", "head=cosine"],
            r"refit fits a bias, which .*CosineHead has not; set head=linear or refit=",
        ),
        (["refit=logistic", *BENT], r"refit=logistic needs a linear `classifier`, which Bent has not; set head=linear"),
        (
            ["loss=[infonce_all]", *BENT],
            r"class means, where no label is learned, need .*, which Bent has not; set head=",
        ),
    ],
)
def test_a_head_that_cannot_be_fitted_is_told_before_training(overrides: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        trained(tmp_path, *overrides)
    assert not (tmp_path / "history.csv").exists()


def evaluated(run_dir: Path) -> dict[str, Any]:
    """Return the scores of a tiny run's last checkpoint on the test split, by the verb that reads it."""
    place = run_dir / "evaluated"
    place.mkdir()
    tiny = [option for option in TINY if option.startswith("data.source.")]
    checkpoint = f"ckpt_path={run_dir / 'checkpoints' / 'last.ckpt'}"
    cfg = composed(*tiny, "accelerator=cpu", checkpoint, f"run_dir={place}", config="evaluate")
    scores: dict[str, Any] = score_checkpoint(cfg)["test"]
    return scores


def test_the_checkpoint_has_the_fitted_classifier_beside_the_trained_one(tmp_path: Path) -> None:
    plain, fitted = tmp_path / "plain", tmp_path / "fitted"
    trained(plain, "+experiment=best")
    results = trained(fitted, "+experiment=best_refitted")
    before, after = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (plain, fitted))
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    assert evaluated(fitted) == results["test"]
    assert evaluated(plain) != results["test"]


def test_the_checkpoint_has_the_statistics_that_the_classifier_was_fitted_with(tmp_path: Path) -> None:
    as_trained, anew = tmp_path / "as_trained", tmp_path / "anew"
    trained(as_trained, "+experiment=fixmatch", "refit=logistic")
    results = trained(anew, "+experiment=fixmatch", "refit=logistic", "refit.statistics=true")
    before, after = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (as_trained, anew))
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    moved = [name for name in after["fitted_classifier"] if name.endswith("running_mean")]
    assert moved
    assert not any(torch.equal(after["fitted_classifier"][name], before["fitted_classifier"][name]) for name in moved)
    assert evaluated(anew) == results["test"]


def test_a_run_goes_on_as_if_no_classifier_had_been_fitted(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    options = ["+experiment=fixmatch", "refit=logistic", "schedule=constant"]
    results = trained(whole, *options, "trainer.max_steps=4")
    trained(halves, *options, "trainer.max_steps=2")
    assert trained(halves, *options, "trainer.max_steps=4", "ckpt_path=last")["test"] == results["test"]


def test_a_finished_run_is_fitted_without_training_again(tmp_path: Path) -> None:
    fitted, later = tmp_path / "fitted", tmp_path / "later"
    results = trained(fitted, "+experiment=fixmatch", "refit=logistic")
    assert trained(later, "+experiment=fixmatch")["test"] != results["test"]
    assert trained(later, "+experiment=fixmatch", "refit=logistic", "ckpt_path=last")["test"] == results["test"]


def test_a_run_that_is_fitted_no_more_has_no_fitted_classifier(tmp_path: Path) -> None:
    fitted = trained(tmp_path, "+experiment=fixmatch", "refit=logistic")
    results = trained(tmp_path, "+experiment=fixmatch", "ckpt_path=last")
    assert evaluated(tmp_path) == results["test"] != fitted["test"]


def test_the_checkpoint_is_of_the_state_that_was_fitted(tmp_path: Path) -> None:
    options = ["+experiment=fixmatch", "callback.checkpoint.every_n_steps=1", "schedule=constant"]
    trained(tmp_path / "run", *options, "trainer.max_steps=2")
    earlier = tmp_path / "run" / "checkpoints" / "last-1.ckpt"
    step = read_checkpoint(earlier)["global_step"]
    again = [*options, "refit=logistic", f"ckpt_path={earlier}", f"trainer.max_steps={step}"]
    for place in (tmp_path / "other", tmp_path / "run"):
        results = trained(place, *again)
        assert read_checkpoint(place / "checkpoints" / "last.ckpt")["global_step"] == step
        assert evaluated(place) == results["test"]


def test_a_run_of_features_alone_can_be_evaluated_once_a_classifier_is_fitted(tmp_path: Path) -> None:
    results = trained(tmp_path, "+experiment=pretrain_infonce", "refit=logistic")
    assert evaluated(tmp_path) == results["test"]


def test_a_run_without_pool_fits_labels_alone(tmp_path: Path) -> None:
    trained(tmp_path, "+experiment=supervised", "unlabeled=none", "refit=logistic")
    assert "fitted_classifier" in read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")


def test_a_compiled_network_shows_its_features_too() -> None:
    model, expected = network().eval(), features_of(network())
    model.compile(backend="eager")
    with torch.no_grad():
        model(LABELED.images.read(torch.arange(20)))
    torch.testing.assert_close(read_features(model, EvalLoader(LABELED, 20)).features, expected)


def everything() -> dict[str, Any]:
    model = network()
    return {"features": read_features(model, EvalLoader(LABELED, 3, rank(), world_size())).features}


def test_every_rank_gets_the_features_of_all_in_their_order(tmp_path: Path) -> None:
    expected = features_of(network())
    for result in run_ranks(everything, tmp_path):
        torch.testing.assert_close(result["features"], expected, atol=1e-5, rtol=1e-5)

"""The classifier of a model, fitted to features that no longer change."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.data.loader import EvalLoader
from fer_ssl.data.module import FaceData
from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import one_hot
from fer_ssl.nn.statistics import estimate_statistics
from fer_ssl.scoring import read_features
from fer_ssl.types import Faces

LEAST_DEVIATION = 1e-6  # of a feature that hardly varies
LEAST_SHARE = 0.1  # of its deviation over the pool, for a feature that hardly varies over the labels alone
NEVER = torch.finfo(torch.float32).min  # a logit that no other is below


class AsTrained:
    """Leave the classifier as it was trained; the base of what fits it anew."""

    def require(self, head: nn.Module, learned: bool) -> None:
        """Raise ConfigError for a head without a linear `classifier` where no label is `learned`: class means need one.

        A bias is not needed: of a classifier that compares directions the means are the directions.
        """
        if not learned:
            require_linear(head, "class means, where no label is learned, need", "set head=linear or loss=[supervised]")

    def __call__(self, model: nn.Module, data: FaceData) -> bool:
        """Return that nothing was fitted."""
        return False


class LogisticRegression(AsTrained):
    """Fit the classifier by logistic regression, all classes counting alike, on features that no longer change.

    Then teach it in `rounds` what it says of the pool, as probabilities; before the first its mean prediction there, an
    estimate of the pool's class frequencies, becomes its prior. `penalty` is that of the squared norm of the weights,
    for features of unit variance; `pool_faces` how many faces of a larger pool are looked at, drawn by the run's seed.
    With `statistics` those of batch norm are estimated anew before, on faces as they are: it mostly saw strong views.
    Source of fitting a classifier afterwards: Kang et al., Decoupling Representation and Classifier for Long-Tailed
    Recognition (ICLR 2020).
    """

    def __init__(
        self, penalty: float = 0.1, rounds: int = 1, pool_faces: int = 50_000, statistics: bool = False
    ) -> None:
        self.penalty, self.rounds, self.pool_faces, self.statistics = penalty, rounds, pool_faces, statistics

    def require(self, head: nn.Module, learned: bool) -> None:
        """Raise ConfigError for a head whose `classifier` is not linear, with a bias."""
        remedy = "set head=linear or refit=none"
        if require_linear(head, "refit=logistic needs", remedy).bias is None:
            raise ConfigError(f"refit fits a bias, which the classifier of {type(head).__name__} has not; {remedy}")

    def __call__(self, model: nn.Module, data: FaceData) -> bool:
        """Fit the linear classifier of `model`'s head, in eval mode and over all ranks; return that it was fitted."""
        if self.statistics:
            faces = data.labeled if data.pool is None else data.pool
            everyone = EvalLoader(data.placement(faces.subset(self._drawn(faces, data.seed))), data.batch_eval)
            estimate_statistics(model, (batch.images for batch in everyone))  # on every rank, of the very same faces
        labeled = read_features(model, data.eval_loader(data.labeled))
        pool = None if data.pool is None or not self.rounds else self._look(model, data)
        weight, bias = self.fit(labeled.features, one_hot(labeled.labels, len(data.space)), pool)
        classifier: nn.Linear = model.head.classifier  # type: ignore[assignment, union-attr]
        with torch.no_grad():
            classifier.weight.copy_(weight)
            classifier.bias.copy_(bias)
        return True

    def _look(self, model: nn.Module, data: FaceData) -> Tensor:
        assert data.pool is not None
        drawn = self._drawn(data.pool, data.seed)
        pool = data.pool if len(drawn) == len(data.pool) else data.pool.subset(drawn.sort().values)
        return read_features(model, data.eval_loader(pool)).features

    def _drawn(self, faces: Faces, seed: int) -> Tensor:
        """Return rows of `pool_faces` of the faces, in the order in which they were drawn."""
        return torch.randperm(len(faces), generator=torch.Generator().manual_seed(seed))[: self.pool_faces]

    def fit(self, labeled: Tensor, targets: Tensor, pool: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return weight [C, D] and bias [C] for `labeled` features [L, D], their one-hot targets, and the `pool`'s."""
        mean, deviation = labeled.mean(0), labeled.std(0).clamp(min=LEAST_DEVIATION)
        if pool is not None:
            deviation = deviation.maximum(LEAST_SHARE * pool.std(0, correction=0))
        labeled = (labeled - mean) / deviation
        counts = targets.sum(0)
        balanced = (targets / counts.clamp(min=1)).sum(1) * len(targets) / counts.count_nonzero()  # 1 in the mean
        weight, bias = fit_logistic(labeled, targets, balanced, self.penalty)
        if pool is not None:
            pool = (pool - mean) / deviation
            bias = bias + (pool @ weight + bias).softmax(1).mean(0).log()
            everyone, counted = torch.cat([labeled, pool]), torch.cat([balanced, torch.ones(len(pool))])
            for _ in range(self.rounds):
                said = (pool @ weight + bias).softmax(1)
                weight, bias = fit_logistic(everyone, torch.cat([targets, said]), counted, self.penalty)
        weight = (weight / deviation.unsqueeze(1)).T
        return weight, bias - weight @ mean


def require_linear(head: nn.Module, what: str, remedy: str) -> nn.Linear:
    """Return the `classifier` of `head`; raise ConfigError where it is not linear."""
    classifier = getattr(head, "classifier", None)
    if not isinstance(classifier, nn.Linear):
        raise ConfigError(f"{what} a linear `classifier`, which {type(head).__name__} has not; {remedy}")
    return classifier


def fit_logistic(inputs: Tensor, targets: Tensor, weights: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the weight [D, C] and bias [C] of least mean cross entropy to `targets` [N, C], plus the penalty.

    `weights` [N] say how much each row of `inputs` [N, D] counts; the penalty is `penalty` times the sum of the squared
    weights of the classifier.
    """
    weight = torch.zeros(inputs.shape[1], targets.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        each = F.cross_entropy(inputs @ weight + bias, targets, reduction="none")
        total = (weights * each).sum() / weights.sum() + penalty * weight.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return weight.detach(), bias.detach()


@torch.no_grad()
def fit_class_means(model: nn.Module, loader: EvalLoader, classes: int) -> None:
    """Make the linear classifier of `model`'s head the nearest class mean of the labeled faces' features.

    Its probabilities are those of classes that are normal around their means m_c, equally likely and of one variance
    v in every direction: the logit of class c is (f.m_c - |m_c|^2 / 2) / v. Where no class has two faces, v is that of
    all faces around their one mean. A class without labeled faces has no mean and, where there is a bias to say so, is
    never predicted.
    """
    features, labels = read_features(model, loader)
    members = one_hot(labels, classes)
    means = members.T @ features / members.sum(0).clamp(min=1).unsqueeze(1)
    centres = members @ means if members.sum(0).max() > 1 else features.mean(0)
    least = (torch.finfo(torch.float32).eps * features.square().mean()).clamp(min=torch.finfo(torch.float32).tiny)
    variance = (features - centres).square().mean().maximum(least)
    classifier: nn.Linear = model.head.classifier  # type: ignore[assignment, union-attr]
    classifier.weight.copy_(means / variance)
    if classifier.bias is not None:  # one that compares directions has none
        bias = -means.square().sum(1) / (2 * variance)
        classifier.bias.copy_(bias.masked_fill(members.sum(0) == 0, NEVER))

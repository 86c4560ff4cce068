"""What a model says of a whole split, and how right it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.data.joined import replaced
from fer_ssl.data.loader import EvalLoader
from fer_ssl.metrics import ExpressionMetrics, Scores
from fer_ssl.types import Faces, LabeledView


class Features(NamedTuple):
    """What the classifier is given of a split's faces over all ranks in row order, and their labels."""

    features: Tensor  # float32 [N, D]
    labels: Tensor  # int64 [N]


class Scored(NamedTuple):
    """Predictions of a split over all ranks in row order, and their scores."""

    probs: Tensor  # float32 [N, C]
    labels: Tensor  # int64 [N]
    scores: Scores


@torch.inference_mode()
def predict(model: nn.Module, loader: EvalLoader) -> LabeledView:
    """Return what `model` says of every face of the loader's split over all ranks, in eval mode and row order."""
    device = next(model.parameters()).device
    model.to(device).eval()
    rows, labels, probs = [], [], []
    for batch in loader:
        probs.append(model(batch.images.to(device)).logits.float().softmax(1))
        labels.append(batch.labels)
        rows.append(batch.rows)
    gathered = _over_ranks(torch.cat(rows), torch.cat(labels), torch.cat(probs).cpu())
    order = gathered[0].argsort()
    return LabeledView(gathered[2][order], gathered[1][order])


def score(model: nn.Module, loader: EvalLoader, classes: int) -> Scored:
    """Score `model` on every face of the loader's split once, in float32 and eval mode."""
    return scored(predict(model, loader), classes)


def without_replaced(faces: Faces, seen: LabeledView) -> tuple[Faces, LabeledView]:
    """Return the faces that could be read, and what was seen of them rather than of others in their place."""
    rows = torch.from_numpy(np.flatnonzero(~replaced(faces.images)))
    return faces.subset(rows), LabeledView(seen.probs[rows], seen.labels[rows])


def scored(seen: LabeledView, classes: int) -> Scored:
    """Return predictions with their scores."""
    metrics = ExpressionMetrics(classes, over_ranks=False)  # every rank has all rows
    metrics.update(seen.probs, seen.labels)
    return Scored(seen.probs, seen.labels, metrics.compute())


def headline(scores: Scores) -> str:
    """Return the main figures of a split on one line, in percent."""
    names = ("macro_f1", "accuracy", "balanced_accuracy")
    return "  ".join(f"{name} {100 * getattr(scores, name):.2f}" for name in names)


@contextmanager
def features_into(classifier: nn.Module) -> Iterator[list[Tensor]]:
    """Collect, batch by batch, the features in fp32 that a head's `classifier` is given."""
    seen: list[Tensor] = []
    hook = classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    try:
        yield seen
    finally:
        hook.remove()


@torch.no_grad()
def read_features(model: nn.Module, loader: EvalLoader) -> Features:
    """Return what the classifier of `model`'s head is given of every face of the loader's split, in eval mode."""
    device = next(model.parameters()).device
    rows, labels = [], []
    with features_into(model.eval().head.classifier) as features:  # type: ignore[union-attr, arg-type]
        for batch in loader:
            model.forward(batch.images.to(device))  # what is compiled may know nothing of the hook
            labels.append(batch.labels)
            rows.append(batch.rows)
    gathered = _over_ranks(torch.cat(rows), torch.cat(labels), torch.cat(features).cpu())
    order = gathered[0].argsort()
    return Features(gathered[2][order], gathered[1][order])


def _over_ranks(*tensors: Tensor) -> list[Tensor]:
    return [torch.cat(columns) for columns in zip(*dist.gather_objects(tensors), strict=True)]

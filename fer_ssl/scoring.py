"""What a model says of a whole split, and how right it is."""

from typing import NamedTuple

import torch
import torch.distributed
from torch import Tensor, nn

from fer_ssl.data.loader import EvalLoader
from fer_ssl.metrics import ExpressionMetrics, Scores


class Scored(NamedTuple):
    """Predictions of a split over all ranks in row order, and their scores."""

    probs: Tensor  # float32 [N, C]
    labels: Tensor  # int64 [N]
    scores: Scores


@torch.inference_mode()
def score(model: nn.Module, loader: EvalLoader, classes: int) -> Scored:
    """Score `model` on every face of the loader's split once, in float32 and eval mode."""
    device = next(model.parameters()).device
    model.to(device).eval()
    rows, labels, probs = [], [], []
    for batch in loader:
        probs.append(model(batch.images.to(device)).logits.float().softmax(1))
        labels.append(batch.labels)
        rows.append(batch.rows)
    gathered = _over_ranks(torch.cat(rows), torch.cat(labels), torch.cat(probs).cpu())
    order = gathered[0].argsort()
    all_labels, all_probs = gathered[1][order], gathered[2][order]
    metrics = ExpressionMetrics(classes)
    metrics.update(all_probs, all_labels)
    return Scored(all_probs, all_labels, metrics.compute())


def _over_ranks(*tensors: Tensor) -> list[Tensor]:
    if not torch.distributed.is_initialized():
        return list(tensors)
    parts: list[tuple[Tensor, ...]] = [()] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, tensors)
    return [torch.cat(columns) for columns in zip(*parts, strict=True)]

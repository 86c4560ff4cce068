"""The equations of semi-supervised training, without state."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist

Kind = Literal["ce", "mse"]


def dtm_threshold(
    confidence_sum: Tensor, correct_count: Tensor, epoch: int | Tensor, beta: float, gamma: float, floor: float
) -> Tensor:
    """Return the dynamic threshold of each class [C]: max(floor, beta / (1 + gamma^-epoch) * mean confidence).

    `confidence_sum` [C] and `correct_count` [C] are taken over labeled faces that are classified correctly; `epoch`
    counts from 1. A class without a correct face gets `floor`. Source: Ada-CM (CVPR 2022), adaptive margin.
    """
    mean = torch.where(correct_count > 0, confidence_sum / correct_count, 0.0)
    elapsed = torch.as_tensor(epoch, dtype=torch.float64, device=mean.device)
    return (beta / (1 + gamma**-elapsed) * mean).clamp(min=floor)


def info_nce(view_a: Tensor, view_b: Tensor, mask: Tensor, temperature: float, groups: Tensor | None = None) -> Tensor:
    """Return the mean InfoNCE over both views of the masked rows, a scalar in fp32.

    `view_a` and `view_b` [B, D] are unit-norm embeddings of the same faces, `mask` bool [B] selects the faces that
    take part. Negatives are the other masked rows of both views, on every rank, except those of the same `groups`
    int64 [B]. Zero or one masked row gives exactly 0, with a gradient path. The value is the same on all ranks; its
    gradient is right once averaged over ranks, as DistributedDataParallel does. Source: NT-Xent (SimCLR, 2020).
    """
    with torch.autocast(view_a.device.type, enabled=False):
        anchors = torch.cat([view_a, view_b]).to(torch.promote_types(view_a.dtype, torch.float32))
        everyone = torch.cat(dist.gather_with_grad(torch.stack(anchors.chunk(2), 1)).unbind(1))
        similarity = anchors @ everyone.T / temperature
    present = dist.gather(mask.float()).bool()
    positive, excluded = _pairing(len(mask), present, groups)
    # each row keeps at least its positive, masked or not: no sum is empty, so no NaN in value or gradient
    candidates = similarity.masked_fill(excluded, -torch.inf)
    losses = candidates.logsumexp(1) - similarity.gather(1, positive).squeeze(1)
    ours = torch.where(mask.repeat(2), losses, 0.0).sum() / (2 * present.sum().clamp(min=1))
    return _global_value(ours)


def _pairing(rows: int, present: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return each anchor's positive column [2B, 1] and the pairs left out of its denominator [2B, 2 * world * B]."""
    faces = torch.arange(len(present), device=present.device)
    here = faces[dist.rank() * rows :][:rows]
    itself = torch.cat([here, here + len(faces)]).unsqueeze(1)
    positive = itself.roll(rows, 0)
    excluded = ~present.repeat(2).expand(2 * rows, -1)
    if groups is not None:
        excluded = excluded | (groups.repeat(2).unsqueeze(1) == dist.gather(groups).repeat(2))
    return positive, excluded.scatter(1, positive, False).scatter(1, itself, True)


def _global_value(share: Tensor) -> Tensor:
    """Return the sum of `share` over ranks as value, with the gradient of world * share: right after averaging."""
    scaled = share * dist.world_size()
    return scaled + (dist.all_reduce_sum(share) - scaled.detach())


def consistency_loss(logits: Tensor, targets: Tensor, weight: Tensor, kind: Kind = "ce") -> Tensor:
    """Return the mean over the full batch of weight times the loss of each row, a scalar in fp32.

    `logits` [B, C]; `targets` int64 [B] or probabilities [B, C]; `weight` [B]. `mse` compares probabilities and is
    the mean over classes.
    """
    logits = logits.float()
    if kind == "ce":
        return (weight * F.cross_entropy(logits, targets, reduction="none")).mean()
    probs = targets if targets.is_floating_point() else one_hot(targets, logits.shape[1])
    return (weight * (logits.softmax(1) - probs).square().mean(1)).mean()


def one_hot(labels: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Return `labels` int64 [B] as float [B, C]: 1 - smoothing for the label, the rest shared by the other classes."""
    off = smoothing / (classes - 1)
    return torch.full((len(labels), classes), off, device=labels.device).scatter(1, labels.unsqueeze(1), 1 - smoothing)


def sharpen(probs: Tensor, temperature: float) -> Tensor:
    """Return softmax(logits / temperature) for `probs` = softmax(logits), [B, C]."""
    powered = probs.pow(1 / temperature)
    return powered / powered.sum(1, keepdim=True)


def align(probs: Tensor, target: Tensor, estimate: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return `probs` [B, C] scaled by target / estimate, both [C], and normalised again.

    Source: distribution alignment of ReMixMatch (ICLR 2020).
    """
    scaled = probs * (target + epsilon) / (estimate + epsilon)
    return scaled / scaled.sum(1, keepdim=True)

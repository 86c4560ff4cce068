"""The equations of semi-supervised training, without state."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

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


def dash_threshold(rho_0: Tensor, falls: Tensor, scale: float, gamma: float, rho_min: float) -> Tensor:
    """Return max(scale * gamma^-falls * rho_0, rho_min), the largest loss of a pseudo-label that is kept.

    Source: Dash (ICML 2021), with the lower bound of its experiments.
    """
    return (scale * gamma ** -falls.float() * rho_0).clamp(min=rho_min)


class Negatives(NamedTuple):
    """Embeddings of earlier batches: `keys` [K, D], their `groups` int64 [K, G], and which of them are `present`."""

    keys: Tensor
    groups: Tensor
    present: Tensor


def info_nce(
    view_a: Tensor,
    view_b: Tensor,
    mask: Tensor,
    temperature: float,
    groups: Tensor | None = None,
    people: Tensor | None = None,
    queue: Negatives | None = None,
) -> Tensor:
    """Return the mean InfoNCE over both views of the masked rows, a scalar in fp32.

    `view_a` and `view_b` [B, D] are unit-norm embeddings of the same faces, `mask` bool [B] selects the faces that
    take part. Negatives are the other masked rows of both views, on every rank, and those of the `queue`, except
    where one of the `groups` int64 [B] or [B, G] is the same. Faces of the same `people` int64 [B] are positives of
    each other, with the mean over all positives of an anchor. Zero or one masked row and no queue gives exactly 0, with
    a gradient path. The value is the same on all ranks; its gradient is right once averaged over ranks, as
    DistributedDataParallel does. Sources: NT-Xent (SimCLR, 2020), queue (MoCo, 2020), positives (SupCon, 2020).
    """
    groups = None if groups is None else groups.reshape(len(groups), -1)
    with torch.autocast(view_a.device.type, enabled=False):
        anchors = torch.cat([view_a, view_b]).to(torch.promote_types(view_a.dtype, torch.float32))
        everyone = torch.cat(dist.gather_with_grad(torch.stack(anchors.chunk(2), 1)).unbind(1))
        similarity = anchors @ everyone.T / temperature
    present = dist.gather(mask.float()).bool()
    positive, excluded = _pairing(len(mask), present, groups)
    # each row keeps at least its positive, masked or not: no sum is empty, so no NaN in value or gradient
    candidates = similarity.masked_fill(excluded, -torch.inf)
    if queue is not None:
        candidates = torch.cat([candidates, _queued(anchors, groups, queue, temperature)], 1)
    attraction = similarity.gather(1, positive).squeeze(1)
    if people is not None:
        alike = (_same(people.unsqueeze(1)) & ~excluded).scatter(1, positive, True).float()
        attraction = (similarity * alike).sum(1) / alike.sum(1)
    losses = candidates.logsumexp(1) - attraction
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
        excluded = excluded | _same(groups)
    return positive, excluded.scatter(1, positive, False).scatter(1, itself, True)


def _same(groups: Tensor) -> Tensor:
    """Return which anchors and faces of all ranks share one of their `groups` [B, G]: bool [2B, 2 * world * B]."""
    return (groups.repeat(2, 1).unsqueeze(1) == dist.gather(groups).repeat(2, 1)).any(2)


def _queued(anchors: Tensor, groups: Tensor | None, queue: Negatives, temperature: float) -> Tensor:
    """Return the similarity of the `anchors` [2B, D] to the keys of the queue [2B, K], -inf where they are left out."""
    with torch.autocast(anchors.device.type, enabled=False):
        similarity = anchors @ queue.keys.T / temperature
    excluded = ~queue.present
    if groups is not None:
        excluded = excluded | (groups.repeat(2, 1).unsqueeze(1) == queue.groups).any(2)
    return similarity.masked_fill(excluded, -torch.inf)


def arcface_logits(cosines: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Return scale * cos(angle + margin) for the class of each row and scale * cos(angle) for the others, [B, N].

    `cosines` [B, N] are those of the angles to the class centers, `labels` int64 [B], `margin` in radians. Beyond
    angle = pi - margin, where the cosine would rise again, the straight line cos(angle) - margin * sin(margin) takes
    over. Source: ArcFace (Deng et al., CVPR 2019).
    """
    own = cosines.gather(1, labels.unsqueeze(1))
    sines = (1 - own.square()).clamp(min=1e-7).sqrt()  # the root has no gradient at zero
    turned = own * math.cos(margin) - sines * math.sin(margin)
    beyond = own < -math.cos(margin)
    harder = torch.where(beyond, own - margin * math.sin(margin), turned)
    return scale * cosines.scatter(1, labels.unsqueeze(1), harder)


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


def align(probs: Tensor, target: Tensor, estimate: Tensor, epsilon: float = 1e-6, strength: float = 1.0) -> Tensor:
    """Return `probs` [B, C] scaled by (target / estimate)^strength, both [C], and normalised again.

    Source: distribution alignment of ReMixMatch (ICLR 2020); with a uniform target, debiasing of DebiasPL (CVPR 2022).
    """
    scaled = probs * ((target + epsilon) / (estimate + epsilon)) ** strength
    return scaled / scaled.sum(1, keepdim=True)


def log_complement(logits: Tensor) -> Tensor:
    """Return log(1 - softmax(logits)) [B, C] without cancellation, for `logits` [B, C]."""
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits.unsqueeze(1).masked_fill(itself, -torch.inf)
    return others.logsumexp(2) - logits.logsumexp(1, keepdim=True)


def unmix(prior: Tensor, rates: Tensor, mean_prediction: Tensor) -> Tensor:
    """Return `prior` [C] after a step of expectation-maximisation that fits it to a mixture.

    `rates` [C, C] are the mean predictions on each true class (rows) and `mean_prediction` [C] that on faces whose
    classes are mixed by the prior sought. Source: Saerens et al. (Neural Computation 2002).
    """
    expected = prior @ rates
    updated = prior * (rates @ (mean_prediction / expected.clamp(min=1e-12)))
    return updated / updated.sum()


def frequencies(class_counts: Sequence[int]) -> Tensor:
    """Return the share of each class, float [C], by its count."""
    counts = torch.tensor(class_counts, dtype=torch.float32)
    return counts / counts.sum()


def effective_weights(class_counts: Sequence[int], beta: float) -> Tensor:
    """Return the weight of a face of each class, [C], of mean 1: inverse to the effective number of its faces.

    Source: Cui et al. (CVPR 2019).
    """
    weights = [(1 - beta) / (1 - beta**count) for count in class_counts]
    return torch.tensor([len(weights) * weight / sum(weights) for weight in weights])

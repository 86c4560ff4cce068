"""The equations of semi-supervised training, without state."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

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
    return (probs.log() / temperature).softmax(1)


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

"""InfoNCE over all ranks: whom a face is compared with, and how much it differs."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from fer_ssl import dist


class Negatives(NamedTuple):
    """Embeddings of earlier batches: `keys` [K, D], their `groups` int64 [K, G], and which of them are `present`."""

    keys: Tensor
    groups: Tensor
    present: Tensor


def info_nce(
    views: Sequence[Tensor],
    mask: Tensor | None,
    temperature: float,
    groups: Tensor | None = None,
    people: Tensor | None = None,
    queue: Negatives | None = None,
) -> Tensor:
    """Return InfoNCE between two `views` of the masked rows, a scalar in fp32; the mean over every two of more views.

    `views` [B, D] are unit-norm embeddings of the same faces, `mask` bool [B] selects the faces that take part, all for
    None. Negatives are the other masked rows of both views, on every rank, and the `queue`, except where one of the
    `groups` int64 [B] or [B, G] is the same; with a queue the rows of the first view alone are anchors, as in MoCo.
    Faces of the same `people` int64 [B] are positives of each other, whatever their groups, with the mean over all
    positives of an anchor.
    Zero or one masked row and no queue gives exactly 0, with a gradient path. Value and gradient are right once
    averaged over ranks, as DistributedDataParallel does with gradients.
    Sources: NT-Xent (SimCLR, 2020), queue (MoCo, 2020), positives (SupCon, 2020).
    """
    own = torch.stack([view.to(torch.promote_types(view.dtype, torch.float32)) for view in views], 1)
    everyone = dist.gather_with_grad(own)
    groups = own.new_empty((len(own), 0), dtype=torch.int64) if groups is None else groups.reshape(len(own), -1)
    pairing = _pairing(own, mask, groups, people)
    if queue is not None:
        pairing = _of_first_view(pairing)
    losses = []
    for pair in combinations(range(len(views)), 2):
        anchors, faces = (torch.cat([rows[:, view] for view in pair]) for rows in (own, everyone))
        queued = None if queue is None else _queued(anchors, groups, queue, temperature)
        losses.append(_losses(anchors, faces, pairing, temperature, queued))
    ours = torch.where(pairing.present, torch.stack(losses).mean(0), 0.0).sum()
    return dist.world_size() * ours / pairing.total


class _Pairing(NamedTuple):
    """Who is compared with whom: rows are this rank's 2B anchors, columns the 2 * world * B faces of all ranks.

    The `positive` column of each anchor [2B, 1], the columns `excluded` from its denominator, its further positives if
    people are known (`alike`), whether it takes part (`present` [2B]), and the `total` of those that do on all ranks.
    """

    positive: Tensor
    excluded: Tensor
    alike: Tensor | None
    present: Tensor
    total: Tensor


def _pairing(own: Tensor, mask: Tensor | None, groups: Tensor, people: Tensor | None) -> _Pairing:
    rows, faces = len(own), torch.arange(dist.world_size() * len(own), device=own.device)
    present, known = _known(mask, groups)
    here = faces[dist.rank() * rows :][:rows]
    itself = torch.cat([here, here + len(faces)]).unsqueeze(1)
    positive = itself.roll(rows, 0)
    same = None if people is None else _same(people.unsqueeze(1), dist.gather(people.unsqueeze(1)))
    agreeing = _same(groups, known) if same is None else _same(groups, known) & ~same
    excluded = ~present.repeat(2) | agreeing
    # each row keeps at least its positive, masked or not: no sum is empty, so no NaN in value or gradient
    excluded = excluded.scatter(1, positive, False).scatter(1, itself, True)
    alike = None if same is None else (same & ~excluded).scatter(1, positive, True).float()
    return _Pairing(positive, excluded, alike, present[here].repeat(2), 2 * present.sum().clamp(min=1))


def _of_first_view(pairing: _Pairing) -> _Pairing:
    """Return the pairing in which the rows of the second view, the teacher's, are keys and no anchors.

    As anchors beside keys without gradient they would pull the student's rows and push hardly any away.
    """
    present = pairing.present.clone()
    present[len(present) // 2 :] = False
    return pairing._replace(present=present, total=pairing.total // 2)


def _known(mask: Tensor | None, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return who takes part, bool [world * B], and the groups int64 [world * B, G] of all ranks, in one collective."""
    taking = groups.new_ones(len(groups)) if mask is None else mask.long()
    if mask is None and not groups.shape[1]:
        return taking.bool().repeat(dist.world_size()), groups.repeat(dist.world_size(), 1)
    known = dist.gather(torch.cat([taking.unsqueeze(1), groups], 1))
    return known[:, 0].bool(), known[:, 1:]


def _losses(anchors: Tensor, faces: Tensor, pairing: _Pairing, temperature: float, queued: Tensor | None) -> Tensor:
    """Return InfoNCE of each anchor [2B] against `faces` [2 * world * B, D] and similarities to a queue [2B, K]."""
    with torch.autocast(anchors.device.type, enabled=False):
        similarity = anchors @ faces.T / temperature
    candidates = similarity.masked_fill(pairing.excluded, -torch.inf)
    if queued is not None:
        candidates = torch.cat([candidates, queued], 1)
    if pairing.alike is None:
        attraction = similarity.gather(1, pairing.positive).squeeze(1)
    else:
        attraction = (similarity * pairing.alike).sum(1) / pairing.alike.sum(1)
    return candidates.logsumexp(1) - attraction


def _same(groups: Tensor, others: Tensor) -> Tensor:
    """Return which of 2B anchors and 2N faces share one of their `groups` [B, G] and `others` [N, G]: bool [2B, 2N]."""
    return (groups.repeat(2, 1).unsqueeze(1) == others.repeat(2, 1)).any(2)


def _queued(anchors: Tensor, groups: Tensor, queue: Negatives, temperature: float) -> Tensor:
    """Return the similarity of the `anchors` [2B, D] to the keys of the queue [2B, K], -inf where they are left out."""
    with torch.autocast(anchors.device.type, enabled=False):
        similarity = anchors @ queue.keys.T / temperature
    excluded = ~queue.present | (groups.repeat(2, 1).unsqueeze(1) == queue.groups).any(2)
    return similarity.masked_fill(excluded, -torch.inf)

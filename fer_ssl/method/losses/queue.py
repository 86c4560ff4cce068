"""What earlier batches leave to contrast with."""

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.method.contrast import Negatives


class Queue(nn.Module):
    """The last `size` embeddings of width `width` over all ranks, each with `groups` numbers; it resumes.

    Source: MoCo (He et al., CVPR 2020).
    """

    keys: Tensor
    groups: Tensor
    present: Tensor
    pointer: Tensor

    def __init__(self, size: int, width: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, width))
        self.register_buffer("groups", torch.zeros(size, groups, dtype=torch.int64))
        self.register_buffer("present", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def negatives(self) -> Negatives:
        """Return what is in the queue, as it is now."""
        return Negatives(self.keys.clone(), self.groups.clone(), self.present.clone())

    @torch.no_grad()
    def push(self, keys: Tensor, groups: Tensor | None, present: Tensor | None) -> None:
        """Let `keys` [B, D] of all ranks, their `groups` int64 [B, G] and bool `present` [B] replace the oldest.

        All keys are present for None.
        """
        size = len(self.keys)
        present = torch.ones(len(keys), dtype=torch.bool, device=keys.device) if present is None else present
        new = [(self.keys, keys), (self.present, present.byte())] + ([] if groups is None else [(self.groups, groups)])
        gathered = [(buffer, dist.gather(values)[-size:].to(buffer.dtype)) for buffer, values in new]
        slots = (self.pointer + torch.arange(len(gathered[0][1]), device=self.pointer.device)) % size
        for buffer, values in gathered:
            buffer.index_copy_(0, slots, values)
        self.pointer.add_(len(slots)).remainder_(size)

"""What every threshold is."""

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import Observed, Source
from fer_ssl.types import Gate, LabeledView


class Threshold(nn.Module):
    """Decide which pseudo-labels of a batch to keep.

    `tau` [C] are the thresholds in force. `needs_labeled` names the model whose predictions on the labeled batch
    `forward` wants, None when it wants none; `observes` the fold, `heldout` or `labeled`, that `observe` is to be given
    at the end of each epoch as the averaged model sees it, None for none; `aligns` says that it changes predictions by
    a running estimate of their distribution; `leaves_out` that some faces may have a keep of 0; `follows_training` that
    its state is a running mean over batches, to which one look at a whole pool is nothing; `step_batches` is of how
    many calls of `forward` a step of training is made.
    """

    tau: Tensor
    needs_labeled: Source | None = None
    observes: Observed | None = None
    aligns: bool = False
    leaves_out: bool = True
    follows_training: bool = False
    step_batches: int = 1

    def __init__(self, classes: int, tau: float) -> None:
        super().__init__()
        self.register_buffer("tau", torch.full((classes,), tau))

    def forward(self, probs: Tensor, labeled: LabeledView | None = None, pool_rows: Tensor | None = None) -> Gate:
        """Return the gate of `probs` [B, C], predictions on the faces at `pool_rows` int64 [B] of the pool."""
        raise NotImplementedError

    def align(self, probs: Tensor) -> Tensor:
        """Return the probabilities [B, C] to read pseudo-labels from; call after `forward`, whose state it uses."""
        return probs

    def compared(self, probs: Tensor) -> Tensor:
        """Return what of `probs` [B, C] is compared with `tau` of the pseudo-label, [B]."""
        return self.align(probs).amax(1)

    def observe(self, labeled: LabeledView) -> None:
        """Look at the averaged model's predictions on the faces of a fold."""

    def end_epoch(self) -> None:
        """Close an epoch."""

    def gate(self, probs: Tensor) -> Gate:
        """Keep the rows of `probs` [B, C] whose confidence reaches `tau` of their class."""
        confidence, labels = probs.float().max(1)
        return Gate((confidence >= self.tau[labels]).float(), self.tau.clone())


def require_labeled(labeled: LabeledView | None, threshold: Threshold) -> LabeledView:
    """Return `labeled`; raise ConfigError when it is missing."""
    if labeled is None:
        raise ConfigError(
            f"{type(threshold).__name__} needs predictions on labeled faces; set threshold=fixed to do without"
        )
    return labeled

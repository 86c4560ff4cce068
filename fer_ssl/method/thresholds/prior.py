"""How often each class occurs among faces nobody labeled."""

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.method.functional import unmix
from fer_ssl.types import LabeledView


class PoolPrior(nn.Module):
    """Estimate the prior of the pool from predictions that are sometimes wrong.

    The mean prediction on the pool is that on each class, mixed by the prior; a step of expectation-maximisation per
    batch unmixes it. What is predicted on each class is learned from labeled faces; of a class without any, predictions
    are taken to be right. Sources: EM of Saerens et al. (Neural Computation 2002), on the classifier's confusion as in
    Lipton et al. (ICML 2018).
    """

    confusion: Tensor  # float64 [C, C], sums of predictions by true class
    mean: Tensor
    prior: Tensor
    started: Tensor

    def __init__(self, classes: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("confusion", torch.zeros(classes, classes, dtype=torch.float64))
        self.register_buffer("mean", torch.full((classes,), 1 / classes))
        self.register_buffer("prior", torch.full((classes,), 1 / classes))
        self.register_buffer("started", torch.zeros(()))

    def observe(self, labeled: LabeledView, decay: float) -> None:
        """Add the predictions on labeled faces of all ranks to `decay` times the earlier ones."""
        members = labeled.labels.unsqueeze(1) == torch.arange(len(self.prior), device=labeled.labels.device)
        self.confusion.mul_(decay).add_(dist.all_reduce_sum(members.double().T @ labeled.probs.double()))

    def update(self, mean_prediction: Tensor) -> Tensor:
        """Count the mean prediction [C] on a batch of the pool over all ranks and return the prior [C]."""
        self.mean.lerp_(mean_prediction, 1 - self.decay * self.started)
        self.started.fill_(1.0)
        self.prior.copy_(unmix(self.prior, self.rates(), self.mean))
        return self.prior

    def rates(self) -> Tensor:
        """Return the mean prediction on each true class, [C, C]."""
        seen = self.confusion.sum(1, keepdim=True)
        right = torch.eye(len(seen), device=seen.device)
        return torch.where(seen > 0, self.confusion / seen, right).float()

"""Batch norm whose statistics are those of the batch over all ranks, also where torch's own needs CUDA."""

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from fer_ssl import dist
from fer_ssl.errors import ConfigError


def synchronize_norms(network: nn.Module, device: torch.device) -> None:
    """Let the batch norms in `network` see all ranks; parameters, buffers and their names stay the same.

    On CUDA they become torch's SyncBatchNorm. Raises ConfigError for a kind that has no form over ranks elsewhere.
    """
    if device.type == "cuda":
        convert_sync_batchnorm(network)
        return
    for name, module in network.named_modules():
        if type(module) in SYNCHRONIZED:
            module.__class__ = SYNCHRONIZED[type(module)]
        elif isinstance(module, _BatchNorm) and not isinstance(module, _OverRanks):
            raise ConfigError(
                f"{name} is a {type(module).__name__}, which has no form over several ranks; "
                "set trainer.sync_batchnorm=false"
            )


class _OverRanks(_BatchNorm):
    """A batch norm that normalises by mean and variance of all ranks' rows, of which each rank has as many."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or dist.world_size() == 1:
            return super().forward(input)
        neutral = torch.ones(self.num_features, device=input.device)
        weight = neutral if self.weight is None else self.weight
        bias = neutral - 1 if self.bias is None else self.bias
        output, mean, variance = _Normalize.apply(input, weight, bias, self.eps)
        self._track(mean, variance, dist.world_size() * input.numel() // input.shape[1])
        return output  # type: ignore[no-any-return]

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)


class _Normalize(torch.autograd.Function):
    """Batch norm [B, C, ...] by statistics over ranks; also returns them, mean and biased variance [C].

    The fused kernels of evaluation, which take statistics as constants, do the work in both directions. What flows back
    through the statistics is added: with e = sum(g) / n and p = sum(g * normalised) / n over all ranks, the gradient is
    scale * (g - e - normalised * p), where scale = weight / deviation.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        unused = torch.zeros_like(weight)  # running statistics: their dtype is that of the result
        own = torch.stack(torch.batch_norm_update_stats(rows, unused, unused, 0.0))
        means, variances = dist.gather(own.unsqueeze(0)).unbind(1)
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        ctx.save_for_backward(rows, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(rows, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, weight, mean, variance = ctx.saved_tensors
        back = torch.ops.aten.native_batch_norm_backward
        kept = (mean, variance, None, None, False, ctx.eps, [True] * 3)
        of_rows, of_weight, of_bias = back(gradients[0], rows, weight, *kept)
        count = dist.world_size() * rows.numel() / rows.shape[1]
        p, e = dist.all_reduce_sum(torch.stack([of_weight, of_bias])) / count
        scale = weight * (variance + ctx.eps).rsqrt()
        of_rows += F.batch_norm(rows, mean, variance, -scale * p, -scale * e, eps=ctx.eps)
        return of_rows, of_weight, of_bias, None


class OverRanks1d(_OverRanks, nn.BatchNorm1d):
    """nn.BatchNorm1d over ranks."""


class OverRanks2d(_OverRanks, nn.BatchNorm2d):
    """nn.BatchNorm2d over ranks."""


class OverRanksAct2d(OverRanks2d):
    """timm's BatchNormAct2d over ranks: batch norm, then dropout and activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


SYNCHRONIZED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: OverRanks1d,
    nn.BatchNorm2d: OverRanks2d,
    BatchNormAct2d: OverRanksAct2d,
}

"""What happened between two log lines, summed on the device without a host sync."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.errors import DivergedError
from fer_ssl.types import UNKNOWN, Step

ROWS = ("count", "keep", "known", "right", "known_keep", "right_keep")


class Tally(nn.Module):
    """Sums of losses and, per class of pseudo-label, of counts, keeps and hits where the truth is known.

    The sums are persistent buffers over all ranks: a resumed run, on whatever ranks, logs what the unbroken one would.
    """

    losses: Tensor
    pseudo: Tensor
    steps: Tensor
    tau: Tensor

    def __init__(self, terms: Sequence[str], classes: Sequence[str]) -> None:
        super().__init__()
        self.names = ("loss", *terms)
        self.classes = tuple(classes)
        self.register_buffer("losses", torch.zeros(len(self.names), dtype=torch.float64))
        self.register_buffer("pseudo", torch.zeros(len(ROWS), len(classes), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))
        self.register_buffer("tau", torch.full((len(classes),), torch.nan))

    @torch.no_grad()
    def add(self, losses: Tensor, step: Step, truth: Tensor | None) -> None:
        """Add one step: `losses` float [1 + terms] (total first) and `truth` int64 [U]."""
        pseudo = torch.zeros_like(self.pseudo)
        if step.gate is not None and step.pseudo_labels is not None and truth is not None:
            keep = step.gate.keep.double()
            known = (truth != UNKNOWN).double()
            right = (truth == step.pseudo_labels).double()
            rows = torch.stack([torch.ones_like(keep), keep, known, right, known * keep, right * keep])
            pseudo.index_add_(1, step.pseudo_labels, rows)
            self.tau.copy_(step.gate.tau)
        sums = dist.all_reduce_sum(torch.cat([losses.double(), pseudo.flatten()]))  # one collective for all
        self.losses += sums[: len(losses)] / dist.world_size()
        self.pseudo += sums[len(losses) :].view_as(pseudo)
        self.steps += 1

    def check_finite(self) -> None:
        """Raise DivergedError, on all ranks, naming the loss terms that are no longer finite on any of them."""
        total, *terms = (~self.losses.isfinite()).tolist()
        broken = [name for name, lost in zip(self.names[1:], terms, strict=True) if lost]
        if broken or total:
            raise DivergedError(
                f"loss term {', '.join(broken) or 'total'} became NaN or infinite; the last good checkpoint is kept: "
                "lower optim.lr, set trainer.gradient_clip_val=1, or set trainer.precision=32-true and ckpt_path=last"
            )

    def flush(self) -> dict[str, float]:
        """Return the means since the last flush, and start again."""
        means = (self.losses / self.steps).tolist()
        row = {f"train/{name}": value for name, value in zip(self.names, means, strict=True)}
        if self.pseudo[0].sum() > 0:
            row |= self._pseudo_row(dict(zip(ROWS, self.pseudo, strict=True)))
        for sums in (self.losses, self.pseudo, self.steps):
            sums.zero_()
        return row

    def _pseudo_row(self, sums: dict[str, Tensor]) -> dict[str, float]:
        total = {name: float(values.sum()) for name, values in sums.items()}
        row = {"pseudo/keep_rate": total["keep"] / total["count"], "pseudo/tau_mean": float(self.tau.mean())}
        if total["known"]:
            row["pseudo/accuracy_all"] = total["right"] / total["known"]
        if total["known_keep"]:
            row["pseudo/accuracy"] = total["right_keep"] / total["known_keep"]
        per_class = {
            "tau": self.tau,
            "count": sums["count"],
            "keep": sums["keep"] / sums["count"],
            "right": sums["right_keep"] / sums["known_keep"],
        }
        for kind, values in per_class.items():
            finite = zip(self.classes, values.tolist(), strict=True)
            row |= {f"{kind}/{name}": value for name, value in finite if value == value}
        return row

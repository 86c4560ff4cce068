"""Features that know which way up a face is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl import dist
from fer_ssl.method.losses.base import Term, Weight
from fer_ssl.types import Step


class Rotation(Term):
    """Tell from its embedding by how many right angles a face is turned.

    Face i of the batch over all ranks is turned i modulo 4 times, as in the view `rotated`. `width`, of an embedding,
    is passed by the program. Source: the rotation loss of ReMixMatch (ICLR 2020), after Gidaris et al. (ICLR 2018).
    """

    student_views = frozenset({"rotated"})
    uses_logits = False
    uses_embeddings = True
    uses_pseudo_labels = False

    def __init__(self, width: int, weight: Weight = 0.5) -> None:
        super().__init__(weight)
        self.scale = width**0.5  # an embedding has unit norm
        self.classifier = nn.Linear(width, 4)

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy of the number of turns, in float32."""
        embeddings = step.student["rotated"].embeddings
        rows = torch.arange(len(embeddings), device=embeddings.device) + dist.rank() * len(embeddings)
        with torch.autocast(embeddings.device.type, enabled=False):
            return F.cross_entropy(self.classifier(self.scale * embeddings.float()), rows % 4)

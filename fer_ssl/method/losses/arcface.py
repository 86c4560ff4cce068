"""Features that tell people apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import UNLABELED_VIEWS, require_choice
from fer_ssl.method.functional import arcface_logits
from fer_ssl.method.losses.base import Term, Weight, require
from fer_ssl.types import Step

REMEDY = (
    "set unlabeled.identities=true (folder), unlabeled.identity_pattern=<expression> (shards) or "
    "unlabeled.subject_column=<column> (parquet), or bring a pool whose faces have subjects"
)


class ArcFace(Term):
    """Classify the people of the pool from embeddings, with a margin between their angles.

    `people` and `width`, the numbers of people and of an embedding, are passed by the program; `view` is the one
    looked at; `margin` is in radians. Raises ConfigError for a pool that names fewer than two, a scale of 0 or a margin
    beyond a right angle. Source: Deng et al., CVPR 2019.
    """

    uses_logits = False
    uses_embeddings = True
    uses_pseudo_labels = False

    def __init__(
        self,
        people: int,
        width: int,
        weight: Weight = 1.0,
        scale: float = 64.0,
        margin: float = 0.5,
        view: str = "weak",
    ) -> None:
        super().__init__(weight)
        require_choice("loss.identity.view", view, UNLABELED_VIEWS)
        if people < 2:
            named = "one person alone" if people else "nobody"
            raise ConfigError(f"loss term 'identity' learns who is who, but the pool names {named}; {REMEDY}")
        if scale <= 0 or not 0 <= margin < torch.pi / 2:
            raise ConfigError(
                f"ArcFace with scale {scale} and a margin of {margin} radians tells nobody apart; set "
                "loss.identity.scale above 0 and loss.identity.margin from 0 to below 1.57"
            )
        self.centers = nn.Parameter(torch.randn(people, width) / width**0.5)  # about unit length
        self.scale, self.margin, self.view = scale, margin, view
        self.student_views = frozenset({view})

    def forward(self, step: Step) -> Tensor:
        """Return the mean cross-entropy of the people on the unlabeled faces, in float32."""
        identities = require(step.identities, self, "the people of the pool", REMEDY)
        embeddings = step.student[self.view].embeddings
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = embeddings.float() @ F.normalize(self.centers.float()).T
            return F.cross_entropy(arcface_logits(cosines, identities, self.scale, self.margin), identities)

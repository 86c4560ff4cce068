"""ArcFace against its definition by angles, one face at a time."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import arcface_logits
from fer_ssl.method.losses import ArcFace
from fer_ssl.types import Output, Step

ROWS, WIDTH = 6, 7
PEOPLE = torch.tensor([0, 3, 3, 1, 4, 0])


@pytest.fixture
def step() -> Step:
    features = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weak = Output(features, F.normalize(features))
    return Step({"weak": weak}, {}, torch.zeros(2).long(), None, None, None, None, None, 0, PEOPLE)


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5])
def test_the_margin_is_added_to_the_angle(margin: float, step: Step) -> None:
    torch.manual_seed(0)
    term = ArcFace(people=5, width=WIDTH, margin=margin, scale=16.0)
    torch.nn.init.normal_(term.centers)
    embeddings, losses = step.student["weak"].embeddings, []
    for row in range(ROWS):
        angles = [torch.acos(embeddings[row] @ center / center.norm()) for center in term.centers]
        own = int(PEOPLE[row])
        assert angles[own] < math.pi - margin
        logits = [16 * torch.cos(angle + margin * (person == own)) for person, angle in enumerate(angles)]
        losses.append(torch.stack(logits).logsumexp(0) - logits[own])
    torch.testing.assert_close(term(step), torch.stack(losses).mean())


def test_a_larger_angle_is_never_rewarded() -> None:
    angles = torch.linspace(0, math.pi, 400, dtype=torch.float64)
    logits = arcface_logits(angles.cos().unsqueeze(1), torch.zeros(400, dtype=torch.int64), 64.0, 0.5)
    assert (logits.diff(dim=0) < 1e-9).all()
    plain = arcface_logits(angles.cos().unsqueeze(1), torch.zeros(400, dtype=torch.int64), 64.0, 0.0)
    assert (logits <= plain + 0.03).all()


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_faces_on_or_opposite_to_their_center_have_finite_gradients(cosine: float) -> None:
    cosines = torch.tensor([[cosine, 0.1]], requires_grad=True)
    F.cross_entropy(arcface_logits(cosines, torch.tensor([0]), 64.0, 0.5), torch.tensor([0])).backward()
    assert torch.isfinite(cosines.grad).all()


def test_backbone_and_centers_learn(step: Step) -> None:
    term = ArcFace(people=5, width=WIDTH)
    embeddings = step.student["weak"].embeddings
    gradients = torch.autograd.grad(term(step), [embeddings, term.centers])
    assert all(gradient.abs().sum(1).min() > 0 for gradient in gradients)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"margin": -0.1}, {"margin": 4.0}])
def test_what_tells_nobody_apart_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"set loss\.identity\.scale above 0 and loss\.identity\.margin"):
        ArcFace(people=5, width=WIDTH, **wrong)


def test_nameless_pools_are_refused(step: Step) -> None:
    with pytest.raises(ConfigError, match=r"the pool names nobody; set unlabeled\.identities=true"):
        ArcFace(people=0, width=WIDTH)
    with pytest.raises(ConfigError, match=r"the pool names one person alone; set unlabeled\.identities=true"):
        ArcFace(people=1, width=WIDTH)
    with pytest.raises(ConfigError, match=r"ArcFace needs the people of the pool"):
        ArcFace(people=5, width=WIDTH)(replace(step, identities=None))
    with pytest.raises(ConfigError, match=r"loss\.identity\.view=labeled"):
        ArcFace(people=5, width=WIDTH, view="labeled")

import pytest
import torch
from torch import Tensor

from fer_ssl.errors import ConfigError
from fer_ssl.method.functional import one_hot
from fer_ssl.method.losses import MixedFaces
from fer_ssl.method.mix import MixUp, Unmixed, require_reading
from fer_ssl.types import Output, Step

CLASSES = 7


def faces() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return faces whose grey level says which they are: labeled 0..7, weak 100..119, weak2 200..219."""
    sizes = {"labeled": (0, 8), "weak": (100, 20), "weak2": (200, 20)}
    images = {
        name: (first + torch.arange(count)).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        for name, (first, count) in sizes.items()
    }
    return images, {name: one_hot(torch.arange(count) % CLASSES, CLASSES) for name, (_, count) in sizes.items()}


def test_every_face_is_mixed_with_one_of_any_view_and_its_target_alike() -> None:
    images, targets = faces()
    mixed = MixUp(alpha=0.75)(images, targets, seed=3)
    levels, labels = torch.cat([*images.values()]).float()[:, 0, 0, 0], torch.cat([*targets.values()])
    partners = []
    for name in images:
        for row, face in enumerate(mixed.images[name]):
            ours, target = images[name][row].float(), mixed.targets[name][row]
            assert face.std() < 1e-4, "one share for the whole face"
            fitting = []
            for other in range(len(levels)):
                far = levels[other] - ours[0, 0, 0]
                share = 1 - (face[0, 0, 0] - ours[0, 0, 0]) / far if far else torch.tensor(1.0)
                blend = share * targets[name][row] + (1 - share) * labels[other]
                if 0.4999 <= share <= 1.0001 and torch.allclose(blend, target, atol=1e-3):
                    fitting.append(other)
            assert fitting
            partners.append(fitting)
    assert any(fitting[0] >= 8 for fitting in partners[:8]), "labeled faces meet unlabeled ones"
    for name in targets:
        torch.testing.assert_close(mixed.targets[name].sum(1), torch.ones(len(targets[name])))


def test_shares_are_those_of_the_beta_distribution() -> None:
    black, white = torch.zeros(20000, 1, 1, 1), torch.full((20000, 1, 1, 1), 255.0)
    targets = {"weak": torch.zeros(20000, 2), "weak2": torch.ones(20000, 2)}
    mixed = MixUp(alpha=0.75)({"weak": black, "weak2": white}, targets, seed=0).targets["weak"][:, 0]
    met = mixed[mixed > 0]  # partners that differ: half of them
    assert len(met) == pytest.approx(10000, rel=0.05)
    assert met.max() <= 0.5
    draws = torch.distributions.Beta(0.75, 0.75).sample((100000,))
    assert met.mean().item() == pytest.approx(torch.minimum(draws, 1 - draws).mean().item(), rel=0.03)


def test_a_seed_mixes_alike() -> None:
    images, targets = faces()
    first, again, other = (MixUp()(images, targets, seed).images["weak"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_shares_need_a_distribution() -> None:
    with pytest.raises(ConfigError, match=r"Beta\(0\.0, 0\.0\); set mix\.alpha"):
        MixUp(alpha=0.0)


def test_what_is_mixed_is_read_and_what_is_read_is_mixed() -> None:
    require_reading(MixUp(), ["mixed_labeled"])
    require_reading(Unmixed(), [])
    with pytest.raises(ConfigError, match=r"'mixed_labeled' reads mixed faces and no part mixes them; set mix=mixup"):
        require_reading(Unmixed(), ["mixed_labeled"])
    with pytest.raises(ConfigError, match=r"no loss term reads the faces that are mixed; set mix=none"):
        require_reading(MixUp(), [])


@pytest.mark.parametrize("kind", ["ce", "mse"])
def test_mixed_targets_are_taught_on_mixed_views(kind: str) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 6, CLASSES), torch.rand(2, 6, CLASSES).softmax(2)
    student = {f"mixed_{view}": Output(part, part) for view, part in zip(("weak", "weak2"), logits, strict=True)}
    taught = dict(zip(("weak", "weak2"), targets, strict=True))
    step = Step(student, {}, torch.zeros(2), None, None, None, None, None, 0, mixed=taught)
    term = MixedFaces(views=["weak", "weak2"], kind=kind)
    assert (term.mixed_views, term.student_views, term.uses_pseudo_labels) == ({"weak", "weak2"}, frozenset(), True)
    ce = -(targets * logits.log_softmax(2)).sum(2).mean()
    mse = (targets - logits.softmax(2)).square().mean()
    torch.testing.assert_close(term(step), {"ce": ce, "mse": mse}[kind])


def test_mixing_labels_alone_asks_nobody() -> None:
    assert not MixedFaces(views=["labeled"]).uses_pseudo_labels
    with pytest.raises(ConfigError, match=r"views=mixed_weak is not a choice"):
        MixedFaces(views=["mixed_weak"])
    with pytest.raises(ConfigError, match=r"reads no view"):
        MixedFaces(views=[])

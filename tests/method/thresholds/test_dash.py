import math

import pytest
import torch
from golden_arrays import golden
from torch.nn import functional as F  # noqa: N812

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import Aligned, DashThreshold
from fer_ssl.types import LabeledView


def labeled(classes: int, seed: int = 0) -> LabeledView:
    generator = torch.Generator().manual_seed(seed)
    probs = torch.randn(16, classes, generator=generator).softmax(1)
    return LabeledView(probs, torch.randint(0, classes, (16,), generator=generator))


@pytest.mark.parametrize("classes", [7, 8])
def test_sequence_equals_peer(classes: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_dash_c{classes}")
    threshold = DashThreshold(classes, warmup_epochs=0)
    threshold.rho_0.fill_(0.4)
    for t in range(20):  # the peer's bound falls before every second of these calls
        probs = inputs["logits_ulb_w"][t].softmax(1)
        gate = threshold(probs, labeled(classes))
        assert threshold.rho.item() == pytest.approx(arrays["rho"][t].item(), rel=1e-5)
        assert torch.equal(gate.keep, arrays["mask"][t].float())
        one_hot = threshold.align(probs).amax(1) == 1
        assert bool(one_hot.all()) == bool(arrays["use_hard_label"][t])
        if t % 2:
            threshold.end_epoch()
    assert threshold.rho_0.item() == pytest.approx(0.4)


def test_rho_starts_at_the_labeled_loss_of_the_warm_up_which_keeps_nothing() -> None:
    threshold = DashThreshold(7, decay=0.5, warmup_epochs=1, update_every=2)
    expected, sure = math.log(7), torch.eye(7)
    for seed in range(4):
        seen = labeled(7, seed)
        expected += 0.5 * (F.nll_loss(seen.probs.log(), seen.labels).item() - expected)
        assert threshold(sure, seen).keep.sum() == 0
    threshold.end_epoch()
    gate = threshold(sure, labeled(7, 9))
    assert gate.keep.sum() == 7
    assert threshold.rho_0.item() == pytest.approx(expected, rel=1e-5)
    assert gate.tau[0].item() == pytest.approx(math.exp(-1.0001 * expected), rel=1e-4)
    for falls in (0, 0, 1, 1, 2):
        assert threshold.rho.item() == pytest.approx(1.0001 * 1.27**-falls * expected, rel=1e-4)
        threshold.end_epoch()


def test_what_a_sample_shows_as_kept_is_what_training_keeps() -> None:
    threshold = DashThreshold(7, warmup_epochs=0, rho_min=1.0)  # at once, so that every label is one-hot
    threshold.rho_0.fill_(1e-3)
    probs = (2 * torch.randn(64, 7, generator=torch.Generator().manual_seed(1))).softmax(1)
    for rule in (threshold, Aligned(threshold)):
        gate = rule(probs, labeled(7))
        shown = rule.compared(probs) >= gate.tau[rule.align(probs).argmax(1)]
        assert 0 < shown.sum() < 64
        assert torch.equal(shown, gate.keep > 0)


def test_the_bound_is_saved() -> None:
    threshold, other = DashThreshold(7), DashThreshold(7)
    threshold(torch.eye(7), labeled(7))
    threshold.end_epoch()
    other.load_state_dict(threshold.state_dict())
    assert torch.equal(other.rho, threshold.rho)
    assert other(torch.eye(7), labeled(7)).keep.sum() == 7


def test_it_asks_for_labeled_faces() -> None:
    with pytest.raises(ConfigError, match=r"DashThreshold needs predictions on labeled faces; set threshold=fixed"):
        DashThreshold(7)(torch.eye(7))
    with pytest.raises(ConfigError, match=r"threshold\.source=nobody"):
        DashThreshold(7, source="nobody")

"""Whole training steps of the peers: threshold, target and terms together."""

import pytest
import torch
from golden_arrays import golden
from torch import Tensor

from fer_ssl.method.losses import Fairness, PseudoLabel, Supervised
from fer_ssl.method.target import HardTarget
from fer_ssl.method.thresholds import (
    AdaMatchThreshold,
    FixedThreshold,
    FlexMatchThreshold,
    FreeMatchThreshold,
    SoftMatchThreshold,
    Threshold,
)
from fer_ssl.types import LabeledView, Output, Step


def build(name: str, classes: int) -> Threshold:
    return {
        "fixmatch": lambda: FixedThreshold(classes),
        "flexmatch": lambda: FlexMatchThreshold(classes, pool_size=160),
        "freematch": lambda: FreeMatchThreshold(classes, decay=0.7),
        "softmatch": lambda: SoftMatchThreshold(classes, decay=0.7),
        "adamatch": lambda: AdaMatchThreshold(classes, decay=0.7),
    }[name]()


def step(threshold: Threshold, inputs: dict[str, Tensor], t: int) -> Step:
    labeled, strong = inputs["logits_lb"][t].requires_grad_(), inputs["logits_ulb_s"][t].requires_grad_()
    probs = inputs["logits_ulb_w"][t].softmax(1)
    gate = threshold(probs, LabeledView(labeled.detach().softmax(1), inputs["y_lb"][t]), inputs["idx_ulb"][t])
    pseudo_labels, targets = HardTarget()(threshold.align(probs))
    return Step(
        student={"labeled": Output(labeled, labeled), "strong": Output(strong, strong)},
        teacher={},
        labels=inputs["y_lb"][t],
        soft_labels=None,
        probs=probs,
        pseudo_labels=pseudo_labels,
        targets=targets,
        gate=gate,
        global_step=t,
    )


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("name", ["fixmatch", "flexmatch", "freematch", "softmatch", "adamatch"])
def test_losses_and_gradients_equal_peer(name: str, classes: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_step_{name}_c{classes}")
    threshold, supervised, pseudo_label = build(name, classes), Supervised(), PseudoLabel()
    for t in range(20):
        taken = step(threshold, inputs, t)
        labeled, unlabeled = supervised(taken), pseudo_label(taken)
        torch.testing.assert_close(labeled.double(), arrays["sup_loss"][t], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(unlabeled.double(), arrays["unsup_loss"][t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(taken.gate.keep.mean().double(), arrays["util_ratio"][t], atol=1e-5, rtol=1e-4)
        if t % 5 == 0:
            gradient = torch.autograd.grad(labeled, taken.student["labeled"].logits)[0]
            torch.testing.assert_close(gradient, arrays["grad_lb"][t // 5], atol=1e-6, rtol=1e-4)
        if t % 5 == 0 and name != "freematch":  # its stored gradient includes the fairness term
            gradient = torch.autograd.grad(unlabeled, taken.student["strong"].logits)[0]
            torch.testing.assert_close(gradient, arrays["grad_ulb_s"][t // 5], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("classes", [7, 8])
def test_freematch_with_its_fairness_term_equals_peer(classes: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_step_freematch_c{classes}")
    threshold, supervised = build("freematch", classes), Supervised()
    pseudo_label, fairness = PseudoLabel(), Fairness(classes, weight=0.01, decay=0.7)
    for t in range(20):
        taken = step(threshold, inputs, t)
        unlabeled = pseudo_label(taken) + fairness.weight_at(t) * fairness(taken)
        total = supervised(taken) + unlabeled
        torch.testing.assert_close(total.double(), arrays["total_loss"][t], atol=1e-5, rtol=1e-4)
        if t % 5 == 0:
            gradient = torch.autograd.grad(unlabeled, taken.student["strong"].logits)[0]
            torch.testing.assert_close(gradient, arrays["grad_ulb_s"][t // 5], atol=1e-6, rtol=1e-4)

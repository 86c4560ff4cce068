import pytest
import torch
from golden_arrays import golden

from fer_ssl.method.target import HardTarget, SoftTarget


@pytest.mark.parametrize("classes", [7, 8])
def test_targets_equal_peer(classes: int) -> None:
    arrays = golden(f"usb_targets_losses_c{classes}")
    probs = arrays["logits_w"].softmax(1)
    pseudo_labels, smooth = HardTarget(smoothing=0.1)(probs)
    assert torch.equal(pseudo_labels, arrays["hard"])
    torch.testing.assert_close(smooth, arrays["hard_smooth"])
    torch.testing.assert_close(SoftTarget(0.5)(probs)[1], arrays["soft_T05"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(SoftTarget()(probs)[1], arrays["soft_from_probs"], atol=1e-6, rtol=1e-5)


def test_hard_target_is_one_hot_without_gradient() -> None:
    logits = torch.randn(5, 8, requires_grad=True)
    pseudo_labels, targets = HardTarget()(logits.softmax(1))
    assert not targets.requires_grad
    assert torch.equal(targets, torch.eye(8)[pseudo_labels])

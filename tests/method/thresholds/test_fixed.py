import pytest
import torch
from golden_arrays import golden

from fer_ssl.method.thresholds import FixedThreshold


@pytest.mark.parametrize("classes", [7, 8])
def test_mask_equals_peer_ties_included(classes: int) -> None:
    arrays = golden(f"usb_fixmatch_c{classes}")
    threshold = FixedThreshold(classes)
    assert torch.equal(threshold(arrays["probs"], None).keep, arrays["mask_probs"])
    assert torch.equal(threshold(arrays["logits"].softmax(1), None).keep, arrays["mask_logits"])


def test_gate_is_float_whatever_the_precision() -> None:
    gate = FixedThreshold(7, tau=0.5)(torch.eye(7, dtype=torch.bfloat16), None)
    assert gate.keep.dtype == gate.tau.dtype == torch.float32
    assert gate.keep.sum() == 7

import pytest
import torch
from golden_arrays import golden

from fer_ssl.method.thresholds import AdaMatchThreshold
from fer_ssl.types import LabeledView


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize(("name", "decay"), [("m999", 0.999), ("m9", 0.9)])
def test_sequence_equals_peer(classes: int, name: str, decay: float) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_adamatch_c{classes}_{name}")
    threshold = AdaMatchThreshold(classes, decay=decay)
    for t in range(20):
        probs = inputs["logits_ulb_w"][t].softmax(1)
        gate = threshold(probs, LabeledView(inputs["logits_lb"][t].softmax(1), inputs["y_lb"][t]))
        torch.testing.assert_close(gate.tau, arrays["cutoff"][t].expand(classes), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(threshold.align(probs), arrays["probs_aligned"][t], atol=1e-6, rtol=1e-5)
        assert torch.equal(gate.keep, arrays["mask"][t])
        assert torch.equal(threshold.align(probs).argmax(1), arrays["pseudo_hard"][t])

import pytest
import torch
from golden_arrays import golden

from fer_ssl.method.thresholds import FreeMatchThreshold


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize(
    ("name", "options", "scale"),
    [
        ("m999", {}, 1),
        ("m7", {"decay": 0.7}, 1),
        ("m7_quantile", {"decay": 0.7, "quantile": 0.8}, 1),
        ("m7_clip", {"decay": 0.7, "clip": 0.95}, 6),
    ],
)
def test_sequence_equals_peer(classes: int, name: str, options: dict[str, float], scale: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_freematch_c{classes}_{name}")
    threshold = FreeMatchThreshold(classes, **options)
    for t in range(20):
        gate = threshold((scale * inputs["logits_ulb_w"][t]).softmax(1), None)
        assert torch.equal(gate.keep, arrays["mask"][t])
        torch.testing.assert_close(threshold.confidence, arrays["time_p"][t], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(threshold.prior, arrays["p_model"][t], atol=1e-6, rtol=1e-5)
        expected = arrays["time_p"][t] * arrays["p_model"][t] / arrays["p_model"][t].max()
        torch.testing.assert_close(gate.tau, expected, atol=1e-6, rtol=1e-5)

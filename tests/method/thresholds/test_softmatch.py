import pytest
import torch
from golden_arrays import golden

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import SoftMatchThreshold
from fer_ssl.types import LabeledView

CASES = [
    ("m999_global_uniform", {}),
    ("m7_global_uniform", {"decay": 0.7}),
    ("m7_global_model", {"decay": 0.7, "alignment": "model"}),
    ("m7_perclass_uniform", {"decay": 0.7, "per_class": True}),
]


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_sequence_equals_peer(classes: int, name: str, options: dict[str, object]) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_softmatch_c{classes}_{name}")
    threshold = SoftMatchThreshold(classes, **options)
    for t in range(20):
        labeled = LabeledView(inputs["logits_lb"][t].softmax(1), inputs["y_lb"][t])
        probs = inputs["logits_ulb_w"][t].softmax(1)
        gate = threshold(probs, labeled)
        torch.testing.assert_close(threshold.alignment(probs), arrays["probs_aligned"][t], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(gate.tau, arrays["mu"][t].expand(classes), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(threshold.variance, arrays["var"][t].expand(classes), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(gate.keep, arrays["weight"][t], atol=1e-5, rtol=1e-4)


def test_only_the_model_target_needs_labeled_faces() -> None:
    assert SoftMatchThreshold(7).needs_labeled is None
    assert SoftMatchThreshold(7, alignment="model").needs_labeled == "student"
    with pytest.raises(ConfigError, match="labeled"):
        SoftMatchThreshold(7, alignment="model")(torch.eye(7), None)
    with pytest.raises(ConfigError, match=r"threshold\.alignment"):
        SoftMatchThreshold(7, alignment="labeled")


def test_rare_classes_move_towards_full_weight() -> None:
    threshold = SoftMatchThreshold(7, alignment="none", per_class=True, decay=0.5)
    for _ in range(20):
        gate = threshold(torch.eye(7)[:1] * 0.4 + 0.1, None)
    assert threshold.tau.max() < 1e-6
    torch.testing.assert_close(threshold.variance, torch.ones(7))
    assert gate.keep.item() == 1.0

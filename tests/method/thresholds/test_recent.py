import pytest
import torch
from golden_arrays import golden

from fer_ssl.method.thresholds.recent import RecentAlignment


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("target", ["uniform", "model"])
def test_sequence_equals_peer(target: str, classes: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_distalign_queue_c{classes}_{target}")
    alignment = RecentAlignment(classes, 8, target)
    for t in range(20):
        probs = inputs["logits_ulb_w"][t].softmax(1)
        alignment.update(probs, inputs["logits_lb"][t].softmax(1))
        torch.testing.assert_close(alignment(probs), arrays["probs_aligned"][t], atol=1e-6, rtol=1e-5)


def test_only_the_last_batches_count() -> None:
    torch.manual_seed(0)
    long, short = RecentAlignment(7, 3), RecentAlignment(7, 3)
    batches = torch.randn(5, 16, 7).softmax(2)
    for batch in batches:
        long.update(batch)
    for batch in batches[2:]:
        short.update(batch)
    torch.testing.assert_close(long(batches[0]), short(batches[0]))

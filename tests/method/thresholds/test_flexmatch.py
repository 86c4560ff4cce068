from collections import Counter

import pytest
import torch
from golden_arrays import golden
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.errors import ConfigError
from fer_ssl.method.thresholds import FlexMatchThreshold


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("warmup", [0, 1])
def test_sequence_equals_peer(classes: int, warmup: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_flexmatch_c{classes}_warmup{warmup}")
    threshold = FlexMatchThreshold(classes, pool_size=160, warmup=bool(warmup))
    for t in range(20):
        gate = threshold(inputs["logits_ulb_w"][t].softmax(1), None, inputs["idx_ulb"][t])
        assert torch.equal(gate.keep, arrays["mask"][t])
        assert torch.equal(threshold.selected.long(), arrays["selected_label"][t])
        torch.testing.assert_close(threshold.learned, arrays["classwise_acc"][t])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), min_size=1), max_size=6))
def test_counts_equal_recount_with_repeated_faces(batches: list[list[tuple[int, int, bool]]]) -> None:
    threshold, naive = FlexMatchThreshold(3, pool_size=6, tau=0.9), [-1] * 6
    for batch in batches:
        probs = torch.stack([0.04 + (0.88 if sure else 0.5) * torch.eye(3)[label] for _, label, sure in batch])
        threshold(probs, None, torch.tensor([row for row, _, _ in batch]))
        for row, label, sure in batch:
            naive[row] = label if sure else naive[row]
    recount = Counter(naive)
    assert threshold.selected.tolist() == naive
    assert threshold.counts.tolist() == [recount[0], recount[1], recount[2], recount[-1]]


def test_missing_pool_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="unlabeled="):
        FlexMatchThreshold(7, pool_size=4)(torch.eye(7), None)

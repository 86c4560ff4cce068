import pytest
import torch
from golden_arrays import golden
from torch import Tensor

from fer_ssl.method.losses import Fairness
from fer_ssl.types import Gate, Output, Step


def step(weak: Tensor, strong: Tensor, keep: Tensor) -> Step:
    return Step(
        student={"strong": Output(strong, strong)},
        teacher={},
        labels=torch.empty(0, dtype=torch.int64),
        soft_labels=None,
        probs=weak.softmax(1),
        pseudo_labels=None,
        targets=None,
        gate=Gate(keep, keep),
        global_step=0,
    )


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize(("name", "decay", "scale"), [("m999", 0.999, 1), ("m7", 0.7, 1), ("m7_clip", 0.7, 6)])
def test_sequence_equals_peer(classes: int, name: str, decay: float, scale: int) -> None:
    inputs, arrays = golden(f"usb_inputs_c{classes}"), golden(f"usb_freematch_c{classes}_{name}")
    term = Fairness(classes, decay=decay)
    for t in range(20):
        strong = inputs["logits_ulb_s"][t].requires_grad_()
        loss = term(step(scale * inputs["logits_ulb_w"][t], strong, arrays["mask"][t]))
        torch.testing.assert_close(term.prior, arrays["p_model"][t], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(term.histogram, arrays["label_hist"][t], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(loss, arrays["ent_loss"][t], atol=1e-4, rtol=1e-5)
        if t < len(arrays["ent_grad_logits_s"]):
            loss.backward()
            torch.testing.assert_close(strong.grad, arrays["ent_grad_logits_s"][t], atol=1e-6, rtol=1e-4)


def test_nothing_kept_gives_zero_with_gradient() -> None:
    strong = torch.randn(6, 7, requires_grad=True)
    loss = Fairness(7)(step(torch.randn(6, 7), strong, torch.zeros(6)))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(strong.grad, torch.zeros(6, 7))

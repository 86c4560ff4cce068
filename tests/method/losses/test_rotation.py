import torch
from torch.nn import functional as F  # noqa: N812

from fer_ssl.method.losses import Rotation
from fer_ssl.types import Output, Step


def test_the_number_of_turns_is_told_from_the_embedding() -> None:
    torch.manual_seed(0)
    term, features = Rotation(width=9), torch.randn(10, 9, requires_grad=True)
    rotated = Output(torch.zeros(10, 7), F.normalize(features))
    loss = term(Step({"rotated": rotated}, {}, torch.zeros(2), None, None, None, None, None, 0))
    logits = term.classifier(3 * rotated.embeddings)
    expected = -logits.log_softmax(1)[torch.arange(10), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])].mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert features.grad.abs().sum(1).min() > 0

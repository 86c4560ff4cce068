"""The student's passes: whose statistics normalise a view, and which the running ones follow."""

import copy

import pytest
import torch
from torch import Tensor, nn

from fer_ssl.nn.passes import forward_passes, running_statistics_kept
from fer_ssl.types import Output

Images = dict[str, Tensor]


class Tiny(nn.Module):
    """Normalise rows; logits and embeddings are what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, rows: Tensor) -> Output:
        normal = self.norm(rows)
        return Output(normal, 2 * normal)


@pytest.fixture
def images() -> Images:
    draw = torch.Generator().manual_seed(0)
    views = ("weak", "labeled", "strong", "strong2")
    return {view: torch.randn(8, 3, generator=draw) + 3 * place for place, view in enumerate(views)}


def normalised(*views: Tensor) -> Tensor:
    rows = torch.cat(views)
    return (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize(
    ("passes", "groups"),
    [
        ("one", [["weak", "labeled", "strong", "strong2"]]),
        ("two", [["weak", "labeled"], ["strong", "strong2"]]),
        ("each", [["weak"], ["labeled"], ["strong"], ["strong2"]]),
    ],
)
def test_views_of_a_pass_share_their_statistics(passes: str, groups: list[list[str]], images: Images) -> None:
    outputs = forward_passes(Tiny(), images, passes, images)
    assert outputs.keys() == images.keys()
    for group in groups:
        expected = normalised(*(images[view] for view in group))
        torch.testing.assert_close(torch.cat([outputs[view].logits for view in group]), expected)
        torch.testing.assert_close(torch.cat([outputs[view].embeddings for view in group]), 2 * expected)


def test_running_statistics_of_two_passes_are_those_of_clean_views(images: Images) -> None:
    network = Tiny()
    alone = copy.deepcopy(network)
    forward_passes(network, images, "two", images)
    alone(torch.cat([images["weak"], images["labeled"]]))
    assert torch.equal(network.norm.running_mean, alone.norm.running_mean)
    assert torch.equal(network.norm.running_var, alone.norm.running_var)
    assert network.norm.momentum == 0.1


def test_without_clean_views_the_running_statistics_follow_the_others(images: Images) -> None:
    network = Tiny()
    strong = {"strong": images["strong"], "strong2": images["strong2"]}
    forward_passes(network, strong, "two", strong)
    assert network.norm.running_mean.abs().min() > 0


def test_strong_views_leave_the_running_statistics_to_clean_ones_of_another_call(images: Images) -> None:
    network = Tiny()
    strong = {"strong": images["strong"], "strong2": images["strong2"]}
    outputs = forward_passes(network, strong, "two", images)
    torch.testing.assert_close(torch.cat([output.logits for output in outputs.values()]), normalised(*strong.values()))
    assert not network.norm.running_mean.any()


def test_statistics_follow_again_after_a_failure(images: Images) -> None:
    network = Tiny()
    with pytest.raises(RuntimeError), running_statistics_kept(network):
        network(torch.zeros(2, 5))
    assert network.norm.momentum == 0.1

"""Batch norm over ranks is nn.BatchNorm on the concatenated batch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gloo import run_ranks
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from fer_ssl import dist
from fer_ssl.errors import ConfigError
from fer_ssl.nn.backbones import timm_backbone
from fer_ssl.nn.sync_norm import synchronize_norms

ROWS, STEPS = 12, 2
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "images": (lambda: nn.BatchNorm2d(5), (5, 3, 4)),
    "vectors": (lambda: nn.BatchNorm1d(5), (5,)),
    "sequences": (lambda: nn.BatchNorm1d(5, momentum=None), (5, 7)),
    "activated": (lambda: BatchNormAct2d(5, momentum=0.3), (5, 3, 4)),
    "fixed_scale": (lambda: nn.BatchNorm2d(5, affine=False), (5, 2, 2)),
    "untracked": (lambda: nn.BatchNorm2d(5, track_running_stats=False), (5, 2, 2)),
}


def share(whole: Tensor) -> Tensor:
    return whole.chunk(dist.world_size())[dist.rank()]


def learned(name: str) -> dict[str, Any]:
    """Return what a batch norm made of a batch far from zero, and its gradients, as if over all ranks."""
    norm, shape = CASES[name][0](), CASES[name][1]
    generator = torch.Generator().manual_seed(0)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 2.0, generator=generator)
    whole = nn.Sequential(norm)
    if dist.world_size() > 1:
        synchronize_norms(whole, torch.device("cpu"))
    outputs, gradients = [], []
    for _ in range(STEPS):
        rows, weights = torch.randn(2, ROWS, *shape, generator=generator)
        rows = share(50 + 3 * rows * (1 + torch.arange(ROWS).view(-1, *[1] * len(shape))))
        rows = rows.contiguous(memory_format=torch.channels_last) if rows.ndim == 4 else rows
        output = whole(rows.requires_grad_())
        (output.square() * share(weights)).sum().backward()
        outputs.append(output.detach())
        gradients.append(rows.grad)
    summed = {key: dist.all_reduce_sum(each.grad) for key, each in norm.named_parameters()}
    state = {key: value.clone() for key, value in norm.state_dict().items()}
    seen = whole.eval()(rows).detach() if norm.track_running_stats else output.detach()
    return {"outputs": outputs, "gradients": gradients, "parameters": summed, "state": state, "evaluated": seen}


def halved() -> dict[str, Any]:
    """Return the output and gradient of a batch norm that sees bf16, as under autocast."""
    rows = share(torch.randn(ROWS, 4, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()).requires_grad_()
    norm = nn.Sequential(nn.BatchNorm2d(4))
    if dist.world_size() > 1:
        synchronize_norms(norm, torch.device("cpu"))
    output = norm(rows)
    output.float().pow(3).sum().backward()
    return {"output": output.detach(), "gradient": rows.grad}


def everything() -> dict[str, Any]:
    return {name: learned(name) for name in CASES} | {"halved": halved()}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(everything, tmp_path_factory.mktemp("norms"))


@pytest.mark.parametrize("name", CASES)
def test_it_equals_batch_norm_on_the_whole_batch(name: str, ranks: list[dict[str, Any]]) -> None:
    expected = learned(name)
    close = {"atol": 2e-5, "rtol": 1e-4}
    for key in ("outputs", "gradients"):
        for step in range(STEPS):
            whole = torch.cat([rank[name][key][step] for rank in ranks])
            torch.testing.assert_close(whole, expected[key][step], **close)
    torch.testing.assert_close(torch.cat([rank[name]["evaluated"] for rank in ranks]), expected["evaluated"], **close)
    for rank in ranks:
        torch.testing.assert_close(rank[name]["state"], expected["state"], **close)
        torch.testing.assert_close(rank[name]["parameters"], expected["parameters"], atol=1e-3, rtol=1e-4)


def test_half_precision_stays_half(ranks: list[dict[str, Any]]) -> None:
    expected = halved()
    for key, value in expected.items():
        whole = torch.cat([rank["halved"][key] for rank in ranks])
        assert whole.dtype == torch.bfloat16
        torch.testing.assert_close(whole, value, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_a_network_keeps_names_values_and_activations(name: str, device: str) -> None:
    torch.manual_seed(0)
    network = timm_backbone(name)
    before, images = copy.deepcopy(network), torch.randn(4, 3, 32, 32)
    synchronize_norms(network, torch.device(device))
    kinds = {type(module).__name__ for module in network.modules()}
    assert not kinds & {"BatchNorm2d", "BatchNormAct2d"}
    assert ("SyncBatchNorm" in kinds or "SyncBatchNormAct" in kinds) == (device == "cuda")
    assert list(network.state_dict()) == list(before.state_dict())
    network.load_state_dict(before.state_dict())
    assert torch.equal(network.eval()(images), before.eval()(images))
    if device == "cpu":  # alone, it is the norm it was
        assert torch.equal(network.train()(images), before.train()(images))


def test_an_unknown_batch_norm_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"1 is a BatchNorm3d, .* set trainer\.sync_batchnorm=false"):
        synchronize_norms(nn.Sequential(nn.ReLU(), nn.BatchNorm3d(2)), torch.device("cpu"))

"""Spread over ranks, a network says what it said, each rank holds its part, and the whole comes back."""

from pathlib import Path
from typing import Any

import torch
from gloo import run_ranks
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from fer_ssl.nn.ema import update_ema
from fer_ssl.nn.sharding import Skeleton, own_shard, shard

CPU = torch.device("cpu")


class Network(nn.Module):
    """Two stages, as timm's networks have them, statistics and a classifier."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stages = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(32, 6)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.norm(self.stages(images)).flatten(1))
        return logits


def images() -> Tensor:
    return torch.linspace(-1, 1, 2 * 3 * 6 * 6).view(2, 3, 6, 6)


def spread() -> dict[str, Any]:
    student, average = Network(0), Network(1)
    whole = Skeleton(student)
    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("machines", "devices"))
    shard(student, mesh)
    shard(average, mesh)
    logits = student(images())
    logits.square().sum().backward()
    held = sum(own_shard(parameter).numel() for parameter in student.parameters())
    update_ema(average, student, decay=0.75, buffers="copy")
    return {
        "logits": logits.detach(),
        "held": held,
        "gradient": student.classifier.weight.grad.full_tensor(),
        "average": whole.filled(average, CPU).state_dict(),
    }


def test_a_sharded_network_and_its_average_are_those_of_one_rank(tmp_path: Path) -> None:
    student, average = Network(0), Network(1)
    logits = student(images())
    logits.square().sum().backward()
    update_ema(average, student, decay=0.75, buffers="copy")
    size = sum(parameter.numel() for parameter in student.parameters())
    ranks = run_ranks(spread, tmp_path)
    assert sum(rank["held"] for rank in ranks) == size
    for rank in ranks:
        assert rank["held"] <= 0.6 * size
        torch.testing.assert_close(rank["logits"], logits)
        torch.testing.assert_close(rank["gradient"], student.classifier.weight.grad)
        torch.testing.assert_close(dict(rank["average"]), dict(average.state_dict()))

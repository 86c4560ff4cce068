from pathlib import Path
from typing import Any

import torch
from gloo import run_ranks

from fer_ssl import dist


def collect() -> dict[str, Any]:
    rank = dist.rank()
    local = (torch.arange(6.0).view(2, 3) + 10 * rank).requires_grad_()
    weights = torch.arange(12.0).view(4, 3) * (rank + 1)
    gathered = dist.gather_with_grad(local)
    (gathered * weights).sum().backward()
    return {
        "world": dist.world_size(),
        "rank": rank,
        "sum": dist.all_reduce_sum(torch.tensor([1.0 + rank, 5.0])),
        "gathered": gathered.detach(),
        "objects": dist.gather_objects({rank: "ours"}),
        "plain": dist.gather(torch.tensor([rank])),
        "gradient": local.grad,
    }


def test_two_ranks_share_values_and_gradients(tmp_path: Path) -> None:
    ranks = run_ranks(collect, tmp_path)
    weights = torch.arange(12.0).view(4, 3) * 3  # both ranks' losses reach every row: factors 1 and 2
    for number, result in enumerate(ranks):
        assert (result["world"], result["rank"]) == (2, number)
        assert torch.equal(result["sum"], torch.tensor([3.0, 10.0]))
        assert torch.equal(result["gathered"][:, 0], torch.tensor([0.0, 3, 10, 13]))
        assert torch.equal(result["plain"], torch.tensor([0, 1]))
        assert result["objects"] == [{0: "ours"}, {1: "ours"}]
        assert torch.equal(result["gradient"], weights[2 * number : 2 * number + 2])


def restored() -> dict[str, Any]:
    torch.manual_seed(dist.rank())
    states = dist.random_states(torch.device("cpu"))
    drawn = torch.rand(3)
    dist.set_random_state(states, torch.device("cpu"))
    return {"drawn": drawn, "again": torch.rand(3)}


def test_each_rank_goes_on_from_its_own_random_state(tmp_path: Path) -> None:
    first, second = run_ranks(restored, tmp_path)
    assert torch.equal(first["drawn"], first["again"])
    assert torch.equal(second["drawn"], second["again"])
    assert not torch.equal(first["drawn"], second["drawn"])


def test_single_process_changes_nothing() -> None:
    tensor = torch.randn(3, 2, requires_grad=True)
    assert (dist.world_size(), dist.rank()) == (1, 0)
    assert dist.gather_with_grad(tensor) is tensor
    assert torch.equal(dist.all_reduce_sum(tensor), tensor)
    assert not dist.gather(tensor).requires_grad

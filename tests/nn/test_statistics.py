"""Running statistics estimated anew."""

import torch
from torch import Tensor, nn

from fer_ssl.nn.statistics import estimate_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(4, momentum=0.3)
    )


def batches() -> list[Tensor]:
    return list(torch.randn(3, 8, 3, 6, 6, generator=torch.Generator().manual_seed(1)).mul(3).add(2))


def test_they_are_the_means_of_those_of_the_batches() -> None:
    model, parts = network(), network()
    estimate_statistics(model, batches())
    means, variances = [[], []], [[], []]
    for images in batches():
        seen = parts[0](images)
        for place, norm in enumerate((parts[1], parts[4])):
            means[place].append(seen.mean((0, 2, 3)))
            variances[place].append(seen.var((0, 2, 3)))
            seen = norm.train()(seen).relu()
    for place, norm in enumerate((model[1], model[4])):
        torch.testing.assert_close(norm.running_mean, torch.stack(means[place]).mean(0).detach())
        torch.testing.assert_close(norm.running_var, torch.stack(variances[place]).mean(0).detach())


def test_nothing_else_changes() -> None:
    model, before = network(), network().state_dict()
    estimate_statistics(model, batches())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.partition(".")[2] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}
    assert not any(module.training for module in model.modules())
    assert [model[1].momentum, model[4].momentum] == [0.1, 0.3]

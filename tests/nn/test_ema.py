import pytest
import torch
from golden_arrays import golden
from torch import Tensor, nn

from fer_ssl.nn.ema import update_ema


def network() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "c": nn.Conv2d(3, 12, 3, bias=False),
            "bn": nn.BatchNorm2d(12),
            "c2": nn.Conv2d(12, 16, 3),
            "fc": nn.Linear(16, 7),
        }
    )


def load(module: nn.Module, arrays: dict[str, Tensor], prefix: str) -> None:
    keys = module.state_dict().keys()
    module.load_state_dict({key: arrays[f"{prefix}.{key}"] for key in keys})


def floats(module: nn.Module) -> dict[str, Tensor]:
    return {key: value for key, value in module.state_dict().items() if value.is_floating_point()}


def test_averaged_buffers_equal_ancestor() -> None:
    arrays, average, model = golden("adacm_weightema"), network(), network()
    load(average, arrays, "ctor_ema")
    for step in range(3):
        load(model, arrays, f"before{step}_model")
        update_ema(average, model, 0.999, "average")
        for key, value in floats(average).items():
            torch.testing.assert_close(value, arrays[f"after{step}_ema.{key}"], atol=1e-6, rtol=1e-5)


def test_copied_buffers_equal_peer() -> None:
    arrays, average, model = golden("usb_ema"), network(), network()
    load(average, arrays, "init_model")
    for step in range(3):
        load(model, arrays, f"model{step}")
        update_ema(average, model, 0.999, "copy")
        for key, value in average.state_dict().items():
            torch.testing.assert_close(value, arrays[f"shadow{step}.{key}"], atol=1e-6, rtol=1e-5)


def test_integer_buffers_are_copied() -> None:
    average, model = network(), network()
    model["bn"].num_batches_tracked.fill_(5)
    update_ema(average, model, 0.9, "average")
    assert average["bn"].num_batches_tracked == 5


def test_networks_of_different_structure_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        update_ema(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), 0.9, "copy")

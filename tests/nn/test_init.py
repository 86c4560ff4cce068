"""Backbones that start from weights: what fits, what does not, and what is refused."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from fer_ssl.errors import ConfigError
from fer_ssl.nn.backbones import SmallConvNet, timm_backbone
from fer_ssl.nn.init import start_from, with_channels

WIDTHS = (4, 4, 4, 4, 4, 8)


def trained() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return SmallConvNet(WIDTHS).state_dict()


def fresh() -> nn.Module:
    torch.manual_seed(2)
    return SmallConvNet(WIDTHS)


def same(backbone: nn.Module, weights: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in backbone.state_dict().items())


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in trained().items()}


LAYOUTS: dict[str, Any] = {
    "bare": trained(),
    "parallel": {"state_dict": prefixed("module."), "epoch": 3},
    "encoder": {"model": prefixed("encoder.")},
    "nested": prefixed("model.backbone."),
    "compiled": {"state_dict": prefixed("_orig_mod.")},
    "base": {"state_dict": prefixed("module.base_encoder.") | prefixed("module.momentum_encoder.")},
    "features": prefixed("features."),
    "net": {"net": trained(), "epoch": 3, "best": np.float64(3), "rate": np.float32(0.5), "step": np.int64(7)},
    "empty": {"state_dict": {}, "model": trained()},
    "optimized": {
        "model_state_dict": trained(),
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []},
    },
    "contrasted": {"state_dict": prefixed("module.encoder_q.") | {"module.queue": torch.zeros(3)}},
    "ours": {
        "state_dict": prefixed("teacher.average.backbone.")
        | {f"model.backbone.{name}": value + 1 for name, value in trained().items()},
        "config": {},
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_known_layouts_are_loaded_whole(layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout], tmp_path / "weights.pt")
    backbone = fresh()
    start_from(backbone, tmp_path / "weights.pt")
    assert same(backbone, trained())


def test_norms_of_the_same_width_make_no_network_of_another(tmp_path: Path) -> None:
    alike = {f"stage.{name}": value for name, value in trained().items() if value.ndim == 1}
    torch.save(alike, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"nothing of .* fits"):
        start_from(fresh(), tmp_path / "weights.pth")


@pytest.mark.parametrize(
    "odd",
    [lambda value: value.to_sparse(), lambda value: value.to("meta"), lambda value: value.int()],
    ids=["sparse", "meta", "integers"],
)
def test_tensors_without_plain_numbers_are_left_out(
    odd: Callable[[Tensor], Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(trained() | {"0.weight": odd(trained()["0.weight"])}, tmp_path / "weights.pth")
    backbone = fresh()
    start_from(backbone, tmp_path / "weights.pth")
    assert "0.weight are no dense floating-point numbers there" in caplog.text
    assert torch.equal(backbone.state_dict()["0.weight"], fresh().state_dict()["0.weight"])


def test_all_that_did_not_fit_is_listed_on_demand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = {f"head{number}.weight": torch.zeros(2) for number in range(9)}
    torch.save(trained() | others, tmp_path / "weights.pth")
    with caplog.at_level(logging.DEBUG):
        start_from(fresh(), tmp_path / "weights.pth")
    assert f"left aside: {', '.join(others)}" in caplog.text


def test_the_classifier_is_of_no_deeper_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = timm.create_model("test_convnext", num_classes=9).state_dict()
    assert any(name.startswith("head.fc.") for name in whole)
    torch.save(whole, tmp_path / "weights.pth")
    start_from(timm_backbone("test_convnext"), tmp_path / "weights.pth")
    assert not caplog.text


def test_resnet18_of_torchvision_fits_timm(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    theirs = resnet18().state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in theirs.items()}}, tmp_path / "r18.pth")
    ours = timm_backbone("resnet18")
    start_from(ours, tmp_path / "r18.pth")
    assert same(ours, theirs)


def test_what_does_not_fit_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = trained() | {"0.weight": torch.zeros(4, 3, 5, 5), "fc.weight": torch.zeros(7, 8)}
    torch.save(weights, tmp_path / "weights.pt")
    backbone = fresh()
    before = backbone.state_dict()["0.weight"].clone()
    with caplog.at_level(logging.INFO):
        start_from(backbone, tmp_path / "weights.pt")
    assert "29 of 30 tensors start from" in caplog.text  # counters of batches are none
    assert "0.weight do not start from" in caplog.text
    assert "fc.weight" in caplog.text
    assert torch.equal(backbone.state_dict()["0.weight"], before)


def test_grey_kernels_serve_coloured_faces_and_the_other_way_round() -> None:
    grey, kernel = torch.randn(2, 1, 8, 8), torch.randn(4, 3, 3, 3)
    single = with_channels(kernel, torch.zeros(4, 1, 3, 3))
    again = with_channels(single, kernel)
    assert (single.shape, again.shape) == ((4, 1, 3, 3), (4, 3, 3, 3))
    expected = conv2d(grey.expand(-1, 3, -1, -1), kernel)
    torch.testing.assert_close(conv2d(grey, single), expected)
    torch.testing.assert_close(conv2d(grey.expand(-1, 3, -1, -1), again), expected)
    depthwise = torch.randn(4, 1, 3, 3)
    assert with_channels(depthwise, depthwise) is depthwise


def test_a_grey_network_starts_a_coloured_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(trained() | {"0.weight": torch.ones(4, 1, 3, 3)}, tmp_path / "weights.pt")
    backbone = fresh()
    with caplog.at_level(logging.INFO):
        start_from(backbone, tmp_path / "weights.pt")
    assert torch.allclose(backbone.state_dict()["0.weight"], torch.full((4, 3, 3, 3), 1 / 3))
    assert "the input channels of 0.weight are summed or shared out" in caplog.text


def test_the_same_layers_of_other_widths_are_an_error(tmp_path: Path) -> None:
    torch.save(SmallConvNet((5, 5, 5, 5, 5, 9)).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"nothing of .* fits"):
        start_from(fresh(), tmp_path / "weights.pt")


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("no route"), ValueError("no route")])
def test_pretrained_weights_out_of_reach_are_told_in_a_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> nn.Module:
        raise error

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(ConfigError, match=r"weights of 'resnet18' cannot be had \(no route\); go online .*init="):
        timm_backbone("resnet18", pretrained=True)
    with pytest.raises(type(error)):
        timm_backbone("resnet18")


def test_weights_of_another_network_are_an_error(tmp_path: Path) -> None:
    torch.save({"layer9.weight": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"nothing of .* it holds layer9\.weight, .* another backbone\.init"):
        start_from(fresh(), tmp_path / "weights.pt")


def test_counters_that_older_files_lack_are_not_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    older = {name: value for name, value in trained().items() if "num_batches_tracked" not in name}
    assert len(older) < len(trained())
    torch.save(older, tmp_path / "weights.pth")
    start_from(fresh(), tmp_path / "weights.pth")
    assert "do not start" not in caplog.text


def test_weights_of_a_deeper_network_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deeper = timm_backbone("resnet34").state_dict()
    torch.save(deeper | {"fc.weight": torch.zeros(7, 512)}, tmp_path / "r34.pth")
    start_from(timm_backbone("resnet18"), tmp_path / "r34.pth")
    assert "layer1.2.conv1.weight" in caplog.text
    assert "are of a deeper network" in caplog.text


def test_weights_of_another_shape_are_told_with_both(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(SmallConvNet((4, 4, 4, 8, 4, 8)).state_dict(), tmp_path / "weights.pt")
    start_from(fresh(), tmp_path / "weights.pt")
    assert "another shape there" in caplog.text
    assert "8x4x3x3 where 4x4x3x3 is wanted" in caplog.text


def test_heads_of_others_are_left_aside_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(trained() | {"fc.weight": torch.zeros(7, 8)}, tmp_path / "weights.pt")
    with caplog.at_level(logging.INFO):
        start_from(fresh(), tmp_path / "weights.pt")
    assert [record.levelname for record in caplog.records if "fc.weight" in record.message] == ["INFO"]

"""Compiled in place: the same losses, weights and names, and views without a break in their graphs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from running import TINY, composed, trained
from torch import Tensor

from fer_ssl import run
from fer_ssl.build import build_callbacks, build_module
from fer_ssl.callbacks.cuda_graphs import StepMarks
from fer_ssl.compiling import compile_parts
from fer_ssl.module import SemiSupervised
from fer_ssl.types import LabelSpace
from fer_ssl.views import StrongView, WeakView

CLASSES = LabelSpace("seven", tuple("abcdefg"))


def in_eager(module: SemiSupervised, mode: str = "default") -> None:
    """Capture graphs, but run them without a compiler."""
    compile_parts(module, mode, backend="eager")


def saved(run_dir: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def test_a_compiled_run_is_the_plain_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(run, "compile_parts", lambda *args: (called.append(args[1]), in_eager(*args)))
    trained(tmp_path / "plain")
    assert not called
    trained(tmp_path / "compiled", "compile=default")
    assert called == ["default"]
    plain, compiled = saved(tmp_path / "plain"), saved(tmp_path / "compiled")
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, equal_nan=True, msg=name)


def test_student_average_and_views_are_compiled() -> None:
    module = build_module(composed(*TINY, "run_dir=."), CLASSES)
    names = list(module.state_dict())
    in_eager(module)
    assert list(module.state_dict()) == names
    for network in (module.model, module.teacher.average):
        assert network._compiled_call_impl is not None


@pytest.mark.parametrize("view", [WeakView(), StrongView(), StrongView(interpolation="nearest")])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_compiled_view_is_the_view_in_one_graph(view: WeakView | StrongView, channels: int) -> None:
    images = torch.randint(0, 256, (6, channels, 24, 24), dtype=torch.uint8)
    expected = view(images, torch.Generator().manual_seed(1))
    view.compile(fullgraph=True, backend="eager")
    assert torch.equal(view(images, torch.Generator().manual_seed(1)), expected)


def test_cuda_graphs_are_told_where_a_step_begins() -> None:
    def marked(*overrides: str) -> bool:
        cfg = composed("run_dir=.", *overrides)
        return any(isinstance(callback, StepMarks) for callback in build_callbacks(cfg))

    assert marked("compile=reduce-overhead")
    assert not marked("compile=default")
    assert not marked()

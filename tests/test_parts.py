"""Parts of a configuration are made, and those who refuse their settings say so in a sentence."""

import pytest
import torch
from omegaconf import OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.method.ramp import Ramp
from fer_ssl.parts import annotations, make, parts

RAMP = "fer_ssl.method.ramp.Ramp"


def test_parts_are_found_at_any_depth() -> None:
    cfg = OmegaConf.create({"a": {"_target_": "x", "b": {"_target_": "y"}}, "c": {"d": {"_target_": "z"}}, "e": 1})
    assert [(place, part._target_) for place, part in parts(cfg)] == [("a", "x"), ("a.b", "y"), ("c.d", "z")]


def test_a_part_is_made_of_its_settings() -> None:
    node = OmegaConf.create({"_target_": RAMP, "peak": 2.0, "start": 0.0, "end": 1.0})
    assert make(node, steps=10) == Ramp(2.0, 0.0, 1.0, 10)


def test_our_own_refusal_comes_out_as_itself() -> None:
    node = OmegaConf.create({"_target_": RAMP, "peak": 2.0, "start": 1.0, "end": 0.5, "steps": 10})
    with pytest.raises(ConfigError, match=r"a ramp cannot lead from 1\.0 to 0\.5"):
        make(node)


def test_the_refusal_of_a_library_becomes_a_sentence_with_the_place() -> None:
    cfg = OmegaConf.create({"trainer": {"_target_": "lightning.Trainer", "precision": "bf17"}})
    with pytest.raises(ConfigError, match=r"lightning\.Trainer refuses .*bf17.*; correct those of trainer"):
        make(cfg.trainer)


SGD = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}


def test_a_part_that_is_made_later_is_made_of_what_is_known_then() -> None:
    optimizer = make(OmegaConf.create({"optimizer": SGD}).optimizer)([torch.zeros(1, requires_grad=True)], momentum=0.5)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.5


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"nesterov": True}, "Nesterov momentum requires a momentum"),
        ({"fused": True, "foreach": True}, "`fused` and `foreach` cannot be `True` together\\)"),
        ({"rho": 1}, "unexpected keyword argument 'rho'"),
    ],
)
def test_what_it_refuses_then_is_told_alike(settings: dict[str, float], reason: str) -> None:
    cfg = OmegaConf.create({"optim": {"optimizer": SGD | settings}})
    begun = make(cfg.optim.optimizer)
    with pytest.raises(ConfigError, match=rf"torch\.optim\.SGD refuses .*{reason}.*; correct .* optim\.optimizer$"):
        begun([torch.zeros(1, requires_grad=True)])


def test_declared_kinds_are_read_where_they_can_be() -> None:
    assert annotations(RAMP) == {"peak": float, "start": float, "end": float, "steps": int}
    assert annotations("optuna.samplers.TPESampler") == {}  # its annotations name what only type checkers import

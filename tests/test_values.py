"""Values are of the kind that a part declares, and in the range that their name stands for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from omegaconf import OmegaConf
from running import composed

from fer_ssl.cli import CONF
from fer_ssl.errors import ConfigError
from fer_ssl.method.ramp import Ramp
from fer_ssl.parts import annotations, parts
from fer_ssl.values import RANGES, require_kind, require_kinds, require_range, require_values


def keys_of(node: Any) -> Iterator[str]:
    """Yield every key of a YAML file, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from keys_of(value)


PART = {"_target_": "fer_ssl.method.ramp.Ramp"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, int), (1, float), (0.5, float), (True, bool), ("a", str), ("a", Path), (["a"], Sequence[str]),
        (["a"], tuple[str, ...]), ({"a": 1}, Mapping[str, int]), (None, int), ("a", Literal["a", "b"]), (3, int | None),
        ("epoch", int | Literal["epoch"]), (0.1, float | Ramp), (PART, float | Ramp), (PART, Callable[..., Ramp]),
        ("whatever", Any), (["a"], object), ("a", str | Sequence[str]), (False, bool | str | Path),
        ([0.9, 1], tuple[float, float]), ([1, 2], list), ([], Sequence[int]), (["a"], str | Sequence[str]),
        ([1, "a"], Sequence[int | str]),
    ],
)  # fmt: skip
def test_what_an_annotation_allows_passes(value: Any, kind: Any) -> None:
    require_kind("part.key", OmegaConf.create({"key": value}).key, kind)


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (0.5, int, r"part\.key=0\.5 is no whole number; set part\.key=<whole number>"),
        (True, int, "part.key=True is no whole number"),
        ("a", float, "part.key=a is no number"),
        (True, float, "part.key=True is no number"),
        ("yes", bool, "part.key=yes is neither true nor false"),
        (2013, str, r'part\.key=2013 is no text; set part\.key=\\"2013\\"'),
        (2013, str | Path, "is no text"),
        ("strong", Sequence[str], r"part\.key=strong is no list; set part\.key=\[strong\]"),
        ("a", Mapping[str, int], "is no mapping"),
        (["a"], Mapping[str, int], "is no mapping"),
        ("fast", float | Ramp, "part.key=fast is no number"),
        (PART, float, "is no number"),
        ("fast", Ramp, "part.key=fast is no part; choose another part"),
        ([1], int | Literal["epoch"], "is no whole number"),
        ([1, "a"], Sequence[int], r"part\.key\.1=a is no whole number; set part\.key\.1=<whole number>"),
        ([1, 2], str | tuple[str, ...], r"part\.key\.0=1 is no text"),
        ([0.9], tuple[float, float], r"part\.key=\[0\.9\] holds 1, where 2 belong; set part\.key=\[<1>,<2>\]"),
        ([0.9, "a"], tuple[float, float] | None, r"part\.key\.1=a is no number"),
    ],
)
def test_what_it_rules_out_is_told_with_what_to_type(value: Any, kind: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        require_kind("part.key", OmegaConf.create({"key": value}).key, kind)


@pytest.mark.parametrize(
    ("name", "sensible", "senseless"),
    [
        ("teacher.decay", (0, 0.99, 1), (-0.1, 1.1)),
        ("x.temperature", (0.01, 5), (0, -1, float("inf"), float("nan"))),
        ("x.weight", (0, 9), (-1,)),
        ("seed", (0, 2**32 - 1), (-1, 2**32)),
    ],
)
def test_a_number_is_in_the_range_of_its_name(name: str, sensible: Sequence[float], senseless: Sequence[float]) -> None:
    for value in sensible:
        require_range(name, value)
    for value in senseless:
        with pytest.raises(ConfigError, match=f"{name}={value} makes no sense; set {name} "):
            require_range(name, value)
    with pytest.raises(ConfigError, match=r"x\.widths\.1=0 makes no sense; set x\.widths\.1 above 0"):
        require_range("x.widths", OmegaConf.create([8, 0]))
    require_range("backbone.init", "weights.pth")
    require_range("x.anything", -5)


def test_every_range_is_of_a_key_that_some_part_has() -> None:
    written = {
        key for path in CONF.rglob("*.yaml") for key in keys_of(yaml.safe_load(path.read_text(encoding="utf-8")))
    }
    parameters = {key for _, part in parts(composed("run_dir=.")) for key in annotations(part._target_)}
    ranged = [key for keys, _, _ in RANGES for key in keys]
    assert set(ranged) <= written | parameters
    assert len(ranged) == len(set(ranged))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["loss.infonce.views=strong"], r"loss\.infonce\.views=strong is no list"),
        (["loss.infonce.temperature=0"], r"temperature=0 makes no sense; set loss\.infonce\.temperature above 0"),
        (["+experiment=best", "loss.supervised.strength.peak=-1"], r"strength\.peak=-1 makes no sense"),
        (["trainer.max_steps=2.5"], r"trainer\.max_steps=2\.5 is no whole number"),
        (["trainer.gradient_clip_val=-1"], r"gradient_clip_val=-1 makes no sense"),
        (["optim=sgd", "optim.optimizer.momentum=-1"], r"optim\.optimizer\.momentum=-1 makes no sense"),
        (["backbone.widths=3"], r"backbone\.widths=3 is no list"),
        (["view.strong=1"], r"view\.strong=1 is no part; choose another view"),
        (["data=folder", "data.root=2013"], r"data\.source\.root=2013 is no text"),
        (["teacher.views=[]"], r"teacher\.views=\[\] leaves nothing to choose from; set teacher\.views=\[<value>,"),
        (["backbone.widths=[8,0]"], r"backbone\.widths\.1=0 makes no sense"),
        (["backbone=mobilefacenet", "backbone.blocks=[1,4]"], r"backbone\.blocks=\[1, 4\] holds 2, where 4 belong"),
        (["+optim.optimizer.betas=[0.9]"], r"optim\.optimizer\.betas=\[0\.9\] holds 1, where 2 belong"),
        (["+optim.optimizer.betas=[a,0.9]"], r"optim\.optimizer\.betas\.0=a is no number"),
        (["head.projection=0"], r"head\.projection=0 makes no sense; set head\.projection above 0"),
        (["+head.hidden=-1"], r"head\.hidden=-1 makes no sense"),
        (["threshold=dash", "threshold.update_every=0"], r"update_every=0 makes no sense; set .*update_every above 0"),
        (["+experiment=best", "loss.supervised.strength.steps=0"], r"strength\.steps=0 makes no sense"),
        (["trainer.check_val_every_n_epoch=0"], r"check_val_every_n_epoch=0 makes no sense"),
        (["data.source.seed=-1"], r"data\.source\.seed=-1 makes no sense; set data\.source\.seed from 0 to 4294967295"),
    ],
)
def test_values_of_parts_are_checked_at_any_depth(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        require_values(composed(*overrides, "run_dir=."))


@pytest.mark.parametrize(
    ("verb", "override", "told"),
    [
        ("train", "epoch_steps=2.5", "epoch_steps=2.5 is no whole number"),
        ("train", "data.workers=two", "data.workers=two is no whole number"),
        ("train", "data.use_all_labels=2", "data.use_all_labels=2 is neither true nor false"),
        ("self_train", "rounds=2.5", "rounds=2.5 is no whole number"),
        ("self_train", "batch.labeled=true", "batch.labeled=True is no whole number"),
        ("pseudo_label", "selection.epoch=abc", "selection.epoch=abc is no whole number"),
        ("pseudo_label", "selection.epoch=-1", "selection.epoch=-1 makes no sense; set selection.epoch to 0 or more"),
        ("self_train", "selection.epoch=2.5", r"selection.epoch=2\.5 is no whole number"),
        ("train", "data.workers=-1", "data.workers=-1 makes no sense; set data.workers to 0 or more"),
        ("evaluate", "data.workers=-1", "data.workers=-1 makes no sense"),
        *[(verb, "seed=-1", "seed=-1 makes no sense; set seed from 0 to") for verb in ("train", "self_train", "tune")],
        ("evaluate", "data.split_seed=-1", "data.split_seed=-1 makes no sense"),
        ("tune", "tune.workers=x", "tune.workers=x is no whole number"),
        ("audit", "distance=x", "distance=x is no whole number"),
        ("evaluate", "allow_targets=mine", r"allow_targets=mine is no list; set allow_targets=\[mine\]"),
    ],
)
def test_a_value_is_of_the_kind_of_its_default_and_in_range(verb: str, override: str, told: str) -> None:
    require_kinds(composed("run_dir=.", config=verb), CONF, verb)
    with pytest.raises(ConfigError, match=told):
        require_kinds(composed(override, "run_dir=.", config=verb), CONF, verb)


@pytest.mark.parametrize("choice", sorted(path.stem for path in (CONF / "loss").glob("*.yaml")))
def test_the_weight_of_every_term_may_rise(choice: str) -> None:
    ramp = "{_target_: fer_ssl.method.ramp.Ramp, peak: 1.0, start: 0.0, end: 0.4, steps: 10}"
    terms = list(composed(f"loss=[{choice}]").loss)
    require_values(composed(f"loss=[{choice}]", *(f"++loss.{term}.weight={ramp}" for term in terms), "run_dir=."))

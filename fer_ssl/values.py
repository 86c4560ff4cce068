"""Values of a configuration: each of the kind that its part declares, and in the range that its name stands for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.parts import FOREIGN, annotations, parts
from fer_ssl.trees import flat

SECTIONS = {"data": "base", "unlabeled": "base", "selection": "threshold"}  # files with defaults outside of parts
RANGES: tuple[tuple[set[str], Callable[[float], bool], str], ...] = (  # keys, what they may be, and how it is told
    (
        {
            "below", "cut", "decay", "defer", "drop_rate", "ema_decay", "floor", "init", "own", "quantile", "share",
            "smoothing", "tau",
        },
        lambda value: 0 <= value <= 1,
        "from 0 to 1",
    ),
    (
        {"alpha", "batch_eval", "beta", "bins", "every", "gamma", "memory", "n", "pool_faces", "size", "temperature"},
        lambda value: value > 0,
        "above 0",
    ),
    (
        {
            "adjust", "alignment", "cycles", "epoch", "gradient_clip_val", "lr", "margin", "momentum",
            "peak", "penalty", "queue", "rate", "rho_min", "rounds", "scale", "spread", "strength", "warmup_epochs",
            "warmup_steps", "weight", "weight_decay", "workers",
        },
        lambda value: value >= 0,
        "to 0 or more",
    ),
)  # fmt: skip
KINDS: dict[type, tuple[str, str]] = {  # what is told of a value of another kind, and how one of this kind is typed
    list: ("no list", "[{value}]"),
    dict: ("no mapping", "{{<key>:<value>}}"),
    float: ("no number", "<number>"),
    int: ("no whole number", "<whole number>"),
    bool: ("neither true nor false", "true"),
    str: ("no text", '\\"{value}\\"'),
}


def require_kinds(cfg: DictConfig, conf: Path, verb: str) -> None:
    """Raise ConfigError for a value of another kind than its default in the files of a `verb`, or beyond its range."""
    defaults = dict(_defaults(conf / f"{verb}.yaml"))
    for section, file in SECTIONS.items():
        defaults |= dict(flat(_read(conf / section / f"{file}.yaml"), f"{section}."))
    for name, default in defaults.items():
        if isinstance(default, bool | int | float | list):  # words may stand beside other kinds
            value = OmegaConf.select(cfg, name)
            require_kind(name, value, type(default))
            if name.partition(".")[0] in SECTIONS:  # a verb's own have their limits there
                require_range(name, value)


def _defaults(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the values of a verb's file and, before them, of those that it includes."""
    content = _read(file)
    for entry in content["defaults"]:
        if isinstance(entry, str) and entry != "_self_":
            yield from _defaults(file.with_name(f"{entry}.yaml"))
    yield from flat({key: value for key, value in content.items() if key not in ("defaults", "hydra")})


def _read(file: Path) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(file.read_text(encoding="utf-8")))


def require_values(cfg: DictConfig) -> None:
    """Raise ConfigError for a value of a part that is of another kind than it declares, or that makes no sense."""
    for place, part in parts(cfg):
        declared = annotations(part._target_)
        for key, value in part.items():
            name = f"{place}.{key!s}"
            require_kind(name, value, declared.get(str(key), Any))
            if part._target_.startswith(("fer_ssl.", *FOREIGN)):  # a name may stand for anything in others' parts
                require_range(name, value)


def require_kind(name: str, value: Any, kind: Any) -> None:
    """Raise ConfigError for a value of YAML that an annotation rules out; what is null may be filled in later."""
    allowed = set(_kinds(kind))
    if value is None or object in allowed or _kind_of(value) & allowed:
        return
    told = next((each for each in KINDS if each in allowed), None)
    if told is None:
        raise ConfigError(f"{name}={value} is no part; choose another {name.rpartition('.')[0]}")
    what, typed = KINDS[told]
    raise ConfigError(f"{name}={value} is {what}; set {name}={typed.format(value=value)}")


def require_range(name: str, value: Any) -> None:
    """Raise ConfigError for a number outside the range that the last part of its name stands for."""
    if not isinstance(value, int | float):
        return
    key = name.rpartition(".")[2]
    for keys, sensible, remedy in RANGES:
        if key in keys and not sensible(value):
            raise ConfigError(f"{name}={value} makes no sense; set {name} {remedy}")


def _kind_of(value: Any) -> set[Any]:
    """Return the kinds that a value of YAML passes for."""
    if isinstance(value, DictConfig):
        return {type} if "_target_" in value else {dict}
    if isinstance(value, ListConfig):
        return {list}
    return {int, float} if type(value) is int else {type(value)}


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the kinds of YAML that an annotation allows: those of KINDS, type for any part, object for anything."""
    origin = get_origin(annotation) or annotation
    if origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _kinds(member)
    elif origin is Literal:
        yield from map(type, get_args(annotation))
    elif origin in KINDS:
        yield origin
    elif origin in (Any, object) or not isinstance(origin, type):
        yield object
    elif issubclass(origin, Path):
        yield str
    elif issubclass(origin, Mapping):
        yield dict
    elif issubclass(origin, Iterable):
        yield list
    else:
        yield type

"""Values of a configuration: each of the kind that its part declares, and in the range that its name stands for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.parts import FOREIGN, annotations, parts
from fer_ssl.trees import flat

SECTIONS = {"data": "base", "unlabeled": "base", "selection": "threshold"}  # files with defaults outside of parts
SEEDS = 2**32  # as many as NumPy tells apart, and as views are drawn by
RANGES: tuple[tuple[set[str], Callable[[float], bool], str], ...] = (  # keys, what they may be, and how it is told
    (
        {
            "below", "cut", "decay", "defer", "drop_rate", "ema_decay", "floor", "init", "max_rejected", "own",
            "quantile", "share", "smoothing", "tau",
        },
        lambda value: 0 <= value <= 1,
        "from 0 to 1",
    ),
    (
        {
            "alpha", "batch_eval", "beta", "bins", "blocks", "check_val_every_n_epoch", "every", "features", "gamma",
            "hidden", "image_size", "kept", "limit", "memory", "n", "pool_faces", "projection", "size", "spread",
            "steps", "temperature", "update_every", "widths",
        },
        lambda value: value > 0,
        "above 0",
    ),
    (
        {
            "adjust", "alignment", "cycles", "enhance", "epoch", "gradient_clip_val", "lr", "margin",
            "momentum", "peak", "penalty", "queue", "rate", "resident_gib", "rho_min", "rotate", "rounds", "scale",
            "shear", "strength", "translate", "warmup", "warmup_epochs", "warmup_steps", "weight", "weight_decay",
            "workers",
        },
        lambda value: value >= 0,
        "to 0 or more",
    ),
    ({"seed", "split_seed"}, lambda value: 0 <= value < SEEDS, f"from 0 to {SEEDS - 1}"),
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
            if name.partition(".")[0] in ("seed", *SECTIONS):  # others of a verb's own have their limits there
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
                _require_some(name, value)
                require_range(name, value)


def require_kind(name: str, value: Any, kind: Any) -> None:
    """Raise ConfigError for a value of YAML that an annotation rules out; what is null may be filled in later."""
    allowed = set(_kinds(kind))
    if value is None or object in allowed:
        return
    if _kind_of(value) & allowed:
        if isinstance(value, ListConfig):
            _require_entries(name, value, kind)
        return
    told = next((each for each in KINDS if each in allowed), None)
    if told is None:
        raise ConfigError(f"{name}={value} is no part; choose another {name.rpartition('.')[0]}")
    what, typed = KINDS[told]
    raise ConfigError(f"{name}={value} is {what}; set {name}={typed.format(value=value)}")


def _require_entries(name: str, values: ListConfig, kind: Any) -> None:
    """Raise ConfigError for an entry of a list that the annotation rules out, and for too many or too few of them."""
    kinds = _entries(kind)
    if kinds[1:] in ((), (...,)):  # any number of one kind
        kinds = kinds[:1] * len(values)
    if kinds and len(values) != len(kinds):
        typed = ",".join(f"<{place + 1}>" for place in range(len(kinds)))
        raise ConfigError(f"{name}={values} holds {len(values)}, where {len(kinds)} belong; set {name}=[{typed}]")
    for place, each in enumerate(kinds):
        require_kind(f"{name}.{place}", values[place], each)


def _require_some(name: str, value: Any) -> None:
    """Raise ConfigError for an empty list."""
    if isinstance(value, ListConfig) and not value:
        raise ConfigError(f"{name}=[] leaves nothing to choose from; set {name}=[<value>,...], or leave its default")


def require_range(name: str, value: Any, key: str = "") -> None:
    """Raise ConfigError for a number, also of a list, outside the range that `key` stands for, the last of `name`."""
    key = key or name.rpartition(".")[2]
    if isinstance(value, ListConfig):
        for place, number in enumerate(value):
            require_range(f"{name}.{place}", number, key)
    for keys, sensible, remedy in RANGES:
        if key in keys and isinstance(value, int | float) and not (isfinite(value) and sensible(value)):
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
    elif issubclass(origin, Iterable) and origin.__module__ in ("builtins", "collections.abc"):  # no Tensor
        yield list
    else:
        yield type


def _entries(annotation: Any) -> tuple[Any, ...]:
    """Return what a list may hold by its annotation: the kind of all entries, or one for each; () for anything."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((get_args(member) for member in members if list in _kinds(member)), ())

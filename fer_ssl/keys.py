"""Keys of a configuration that nothing reads: misspelled in a file or added by `+`, they would change nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fer_ssl.errors import ConfigError
from fer_ssl.trees import flat

REFERENCE = re.compile(r"\$\{(?:[\w.]+:)?(\.*)([\w.]+)")
ABSENT = re.compile(r"Could not override '([\w.]+)'")  # as Hydra tells it
LIKE = 0.78  # of two names' letters that must be alike for one to be meant by the other
# what the program reads of a section, besides the keys of its base.yaml; sections with a _target_ check their own
READ = {
    "batch": {"labeled", "unlabeled"},
    "data": {"name", "source"},
    "unlabeled": {"name", "root", "from_source", "pool"},
    "optim": {"optimizer", "weight_decay"},
}
# of keys that a verb does not take, what it does and what to type instead
_OTHER_FACES = (
    "pseudo_label labels the pool of the checkpoint's run; where that moved, set data.root=<dir> or "
    "unlabeled.root=<dir>; for other faces: python -m fer_ssl.predict ckpt_path=<file> unlabeled=folder "
    "unlabeled.root=<dir>"
)
_NO_LABELS = "predict is of faces without labels; set unlabeled=folder unlabeled.root=<dir>"
_LABELED = "evaluate scores labeled faces; set data=<name> data.root=<dir>, or ask fer_ssl.predict about others"
INSTEAD = {
    ("pseudo_label", "unlabeled"): _OTHER_FACES,
    ("pseudo_label", "data"): _OTHER_FACES,
    ("predict", "data"): _NO_LABELS,
    ("predict", "data.root"): _NO_LABELS,
    ("evaluate", "unlabeled"): _LABELED,
    ("evaluate", "unlabeled.root"): _LABELED,
}


def require_taken(verb: str, arguments: Sequence[str]) -> None:
    """Raise ConfigError for a part that a verb does not take, or not like this: Hydra would advise to append it."""
    chosen = any(argument.lstrip("+").startswith("set@against=") for argument in arguments)
    for argument in arguments:
        if verb == "audit" and not chosen and argument.lstrip("+").startswith("against."):
            raise ConfigError(f"{argument} is of no set yet; set set@against=<name> against.root=<dir>")
        if told := INSTEAD.get((verb, argument.lstrip("+").partition("=")[0])):
            raise ConfigError(f"{argument} changes nothing: {told}")


def require_read(cfg: DictConfig, conf: Path, verb: str) -> None:
    """Raise ConfigError for a key that neither the program nor another value of the configuration reads.

    `conf` holds the YAML file of the `verb`, whose keys and groups are those that may stand at the top.
    """
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    within = {str(name): set(_references(value, (str(name),))) for name, value in content.items()}
    # a part of no use to the verb refers to its own keys, as conf/unlabeled/folder.yaml does
    _require(content, "", _at_top(conf, verb), {key for name, keys in within.items() for key in keys - {name}})
    referred = set().union(*within.values())
    for name in READ:
        if isinstance(content.get(name), dict):
            _require(content[name], f"{name}.", _in_section(conf, verb, name), referred)


def _require(section: Mapping[Any, Any], place: str, read: set[str], referred: set[str]) -> None:
    for key in map(str, section):
        if key not in read and place + key not in referred:
            known = read | {str(other) for other in section if place + str(other) in referred}
            meant = meant_by(key, known, place)
            raise ConfigError(f"nothing reads {place}{key}; {meant}leave it out (--cfg job shows what there is)")


def meant_by(key: str, known: Iterable[str], place: str = "") -> str:
    """Return the words that ask whether the most similar of the `known` keys at `place` is meant, if one is similar."""
    return "".join(f"did you mean {place}{other}? Otherwise " for other in get_close_matches(key, list(known), 1, LIKE))


def meant_instead(
    error: BaseException | None, conf: Path, verb: str, arguments: Sequence[str], own: Path | None = None
) -> str | None:
    """Return the key most like one that Hydra did not find, None where the error is another or no key is like it.

    `arguments` are those of the command line, whose choices of parts say which keys there are; `own` is the folder of
    the user's own parts.
    """
    absent = ABSENT.match(str(error)) if isinstance(error, ConfigCompositionException) else None
    if absent is None:
        return None
    given = {argument: argument.partition("=")[0] for argument in arguments if "=" in argument}
    chosen = {each: key for each, key in given.items() if key[0] != "-" and ("." not in key or "@" in key)}
    choices = [each for each, key in chosen.items() if key != absent[1]]
    choices += [] if own is None else [f"hydra.searchpath=[file://{own.resolve()}]"]
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            cfg = compose(verb, overrides=choices)
    except HydraException:  # another mistake, which comes next
        return None
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    known = {key[: dot.start()] for key, _ in flat(content) for dot in re.finditer(r"\.|$", key)} - {absent[1]}
    return next(iter(get_close_matches(absent[1], [key for key in known if _alike(key, absent[1])], 1)), None)


def choice_instead(error: BaseException | None, folders: Sequence[Path]) -> str | None:
    """Return words on a choice of a group that Hydra did not find: the one most like it, else all of a list's.

    `folders` hold the choices. Of a group that is a list, such as loss, Hydra does not tell what there is.
    """
    group, _, name = str(getattr(error, "missing_cfg_file", None) or "").rpartition("/")
    known = sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))
    if not (isinstance(error, MissingConfigException) and group and known):
        return None
    if meant := get_close_matches(name, known, 1, LIKE):
        return f"did you mean {meant[0]}?"
    return None if error.options else f"{group} has {', '.join(known)}"


def _alike(key: str, other: str) -> bool:
    """Return whether keys are as deep and every name of one is like that of the other."""
    names = list(zip_longest(key.split("."), other.split("."), fillvalue=""))
    return all(ours == theirs or get_close_matches(ours, [theirs], 1, LIKE) for ours, theirs in names)


def _at_top(conf: Path, verb: str) -> set[str]:
    """Return the keys and groups of a verb's file, and of those that it includes."""
    read = _keys(conf / f"{verb}.yaml")
    for entry in _content(conf / f"{verb}.yaml")["defaults"]:
        if isinstance(entry, dict):
            read |= {str(group).removeprefix("set@") for group in entry}
        elif entry != "_self_":
            read |= _at_top(conf, entry)
    return read


def _in_section(conf: Path, verb: str, name: str) -> set[str]:
    """Return the keys of a section that the verb's file itself writes; of a part, those of its base and of READ."""
    own = _content(conf / f"{verb}.yaml").get(name)
    base = conf / name / "base.yaml"
    return set(own) if isinstance(own, dict) else READ[name] | (_keys(base) if base.exists() else set())


def _keys(file: Path) -> set[str]:
    return set(_content(file)) - {"defaults"}


def _content(file: Path) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(file.read_text(encoding="utf-8")))


def _references(node: Any, place: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every key that a value within `node` refers to, with those that hold it: of ${a.b}, a and a.b."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from _references(value, (*place, str(key)))
    elif isinstance(node, str):
        for dots, path in REFERENCE.findall(node):
            start = place[: -len(dots)] if dots else ()
            keys = (*start, *path.split("."))
            yield from (".".join(keys[:end]) for end in range(1, len(keys) + 1))


def require_own_terms(loader: ConfigLoader, verb: str, overrides: Sequence[str]) -> None:
    """Raise ConfigError where two chosen files of loss/ write one term: the later would change the earlier unseen."""
    written: dict[str, str] = {}
    for name in loss_files(loader, verb, overrides):
        for term in _keys_of(loader, f"loss/{name}"):
            if other := written.get(term):
                raise ConfigError(
                    f"{other} and {name} are two forms of one loss term, {term}; keep one of them in loss=[...]"
                )
            written[term] = name


def loss_files(loader: ConfigLoader, verb: str, overrides: Sequence[str]) -> list[str]:
    """Return the chosen files of loss/ in their order; Hydra's choices leave out a group that is a list."""
    defaults = loader.compute_defaults_list(verb, list(overrides), RunMode.RUN).defaults
    chosen = [str(each.config_path) for each in defaults if not str(each.parent).startswith("loss/")]
    return [path.removeprefix("loss/") for path in dict.fromkeys(chosen) if path.startswith("loss/")]


def _keys_of(loader: ConfigLoader, path: str) -> set[str]:
    source = next(source for source in loader.get_sources() if source.is_config(path))
    return {str(key) for key in source.load_config(path).config} - {"defaults"}

"""What `--help` of a verb says: its parts and their choices, and its own settings as its file explains them."""

import argparse
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

WIDTH, INDENT = 120, 18
BASE = "base"  # what the other choices of a group have in common
LISTS = ("experiment", "protocol", "ablation", "sweep")  # of parts and settings, which a run is given by +<list>=<name>


def usage(about: str, conf: Path, name: str, arguments: Sequence[str] = ()) -> str:
    """Return the help of the verb whose configuration is `conf`/`name`.yaml; `about` is its module's docstring.

    Choices of the user's own are those in the folder that --config-dir names among the `arguments`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    own = parser.parse_known_args(arguments)[0].config_dir
    folders = [conf] if own is None else [conf, own]
    what, _, command = about.partition("\n")[0].partition(": `")
    parts = dict(_parts(conf, name))
    lists = [each for each in LISTS if "loss" in parts and (each != "sweep" or name == "train")]
    return "\n".join([
        f"{what}: {command.rstrip('`.')}",
        "",
        "Parts, as group=choice; the default of each stands first:",
        *(_listed(group, _choices(folders, group, chosen)) for group, chosen in parts.items()),
        *(["", "Lists of parts and settings, as +list=name; +sweep=name, a list of runs, needs -m:"] if lists else []),
        *(_listed(group, _choices(folders, group, None)) for group in lists),
        "",
        "Settings, as key=value; those of a part are part.key=value:",
        "",
        *_settings(conf, name),
        "",
        "What would be run, with every setting: append --cfg job; of one part: --cfg job --package <group>.",
        "Flags of Hydra, which composes this: --hydra-help.",
    ])  # fmt: skip


def _read(conf: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((conf / f"{name}.yaml").read_text())
    return read


def _parts(conf: Path, name: str) -> Iterator[tuple[str, str | list[str] | None]]:
    """Yield every group of a verb's own and inherited defaults, and what it chooses of it."""
    for entry in _read(conf, name)["defaults"]:
        if entry == "_self_":
            continue
        if isinstance(entry, str):
            yield from _parts(conf, entry)
            continue
        ((group, chosen),) = entry.items()
        if not group.startswith("override "):
            yield group, chosen


def _choices(folders: Sequence[Path], group: str, chosen: str | list[str] | None) -> list[str]:
    first = [f"[{', '.join(chosen)}]"] if isinstance(chosen, list) else [] if chosen is None else [chosen]
    files = [path for folder in folders for path in (folder / group.partition("@")[0]).glob("*.yaml")]
    known = sorted({path.stem for path in files} - {BASE})
    return first + [name for name in known if name not in first]


def _listed(group: str, choices: list[str]) -> str:
    wrapped = textwrap.wrap(", ".join(choices), WIDTH - INDENT, break_on_hyphens=False)
    return f"  {group}".ljust(INDENT) + f"\n{' ' * INDENT}".join(wrapped)


def _settings(conf: Path, name: str) -> Iterator[str]:
    """Yield the lines of the verb's file, and of those it inherits, that hold settings and what these mean."""
    for entry in _read(conf, name)["defaults"]:
        if isinstance(entry, str) and entry != "_self_":
            yield from _settings(conf, entry)
    text = (conf / f"{name}.yaml").read_text()
    own = re.sub(r"^(defaults|hydra):\n(?:[ -].*\n|\n)*|^#.*\n", "", text, flags=re.MULTILINE)
    yield from (f"  {line}" for line in own.strip().splitlines())

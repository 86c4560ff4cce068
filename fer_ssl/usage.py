"""What `--help` of a verb says: its parts and their choices, and its own settings as its file explains them."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

WIDTH, INDENT = 120, 18
SELECTION = "selection"  # a part with a threshold and an alignment of its own
BASE = "base"  # what the other choices of a group have in common
LISTS = ("experiment", "protocol", "ablation", "sweep")  # of parts and settings, which a run is given by +<list>=<name>


def usage(about: str, conf: Path, name: str, own: Path | None = None) -> str:
    """Return the help of the verb whose configuration is `conf`/`name`.yaml; `about` is its module's docstring.

    `own` is the folder of the user's own choices.
    """
    folders = [conf] if own is None else [conf, own]
    what, _, command = about.partition("\n")[0].partition(": `")
    parts = dict(_parts(conf, name))
    lists = [each for each in LISTS if "loss" in parts and (each != "sweep" or name == "train")]
    lines = [f"{what}: {command.rstrip('`.')}", ""]
    if parts:
        lines += ["Parts, as group=choice; the default of each stands first:"]
        lines += [*(_listed(group, _choices(folders, group, chosen)) for group, chosen in parts.items()), ""]
    if lists:
        runs = "; +sweep=name, a list of runs, needs -m" if "sweep" in lists else ""
        lines += [f"Lists of parts and settings, as +list=name{runs}:"]
        lines += [*(_listed(group, _choices(folders, group, None)) for group in lists), ""]
    lines += ["Settings, as key=value; those of a part are part.key=value:", "", *_settings(conf, name), ""]
    of_part = "; of one part: --cfg job --package <group>" if parts else ""
    lines += [f"What would be run, with every setting: append --cfg job{of_part}."]
    return "\n".join([*lines, "Flags of Hydra, which composes this: --hydra-help."])


def _read(conf: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((conf / f"{name}.yaml").read_text(encoding="utf-8"))
    return read


def _parts(conf: Path, name: str) -> Iterator[tuple[str, str | list[str] | None]]:
    """Yield every group of a verb's own and inherited defaults, and of its selection's, and what is chosen of it."""
    for entry in _read(conf, name)["defaults"]:
        if entry == "_self_":
            continue
        if isinstance(entry, str):
            yield from _parts(conf, entry)
            continue
        ((group, chosen),) = entry.items()
        if not group.startswith("override "):
            yield group, chosen
        if group == SELECTION:
            for inner, its in _parts(conf, f"{group}/{chosen}"):
                yield inner.removeprefix("/").replace("@", f"@{group}."), its


def _choices(folders: Sequence[Path], group: str, chosen: str | list[str] | None) -> list[str]:
    first = [f"[{', '.join(chosen)}]"] if isinstance(chosen, list) else [] if chosen is None else [chosen]
    files = [path for folder in folders for path in (folder / group.partition("@")[0]).glob("*.yaml")]
    known = sorted({path.stem for path in files} - {BASE})
    return first + [name for name in known if name not in first]


def _listed(group: str, choices: list[str]) -> str:
    margin = " " * INDENT
    head = f"  {group} ".ljust(INDENT) if len(group) + 2 < INDENT else f"  {group}\n{margin}"
    return head + f"\n{margin}".join(textwrap.wrap(", ".join(choices), WIDTH - INDENT, break_on_hyphens=False))


def _settings(conf: Path, name: str) -> Iterator[str]:
    """Yield the lines of the verb's file, and of those it inherits, that hold settings and what these mean."""
    for entry in _read(conf, name)["defaults"]:
        if isinstance(entry, str) and entry != "_self_":
            yield from _settings(conf, entry)
    text = (conf / f"{name}.yaml").read_text(encoding="utf-8")
    own = re.sub(r"^(defaults|hydra):.*\n?(?:[ #-].*\n?|\n)*|^#.*\n?", "", text, flags=re.MULTILINE)
    yield from (f"  {line}" for line in own.strip().splitlines())

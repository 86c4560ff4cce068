"""List what can be run: `python -m fer_ssl`."""

import sys
from importlib import import_module

from fer_ssl.cli import told
from fer_ssl.errors import ConfigError

VERBS = ("train", "evaluate", "predict", "report", "tune", "prepare", "audit", "pseudo_label", "self_train")


def main() -> None:
    """Print what each verb does and a command of it; raise ConfigError for arguments, which belong to a verb."""
    if sys.argv[1:]:
        raise ConfigError(f"{sys.argv[1]} is not run like this; type python -m fer_ssl.<{'|'.join(VERBS)}>")
    for verb in VERBS:
        what, _, command = (import_module(f"fer_ssl.{verb}").__doc__ or "").partition("\n")[0].partition(": `")
        print(f"{what}:\n  {command.rstrip('`.')}")
    print("Parts and settings of each: python -m fer_ssl.<verb> --help")


if __name__ == "__main__":
    told(main)

"""List what can be run: `python -m fer_ssl`."""

from importlib import import_module

VERBS = ("train", "evaluate", "predict", "report", "tune", "prepare", "audit", "pseudo_label", "self_train")


def main() -> None:
    """Print what each verb does and a command of it."""
    for verb in VERBS:
        what, _, command = (import_module(f"fer_ssl.{verb}").__doc__ or "").partition("\n")[0].partition(": `")
        print(f"{what}:\n  {command.rstrip('`.')}")
    print("Parts and settings of each: python -m fer_ssl.<verb> --help")


if __name__ == "__main__":
    main()

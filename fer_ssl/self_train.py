"""Train in rounds: `python -m fer_ssl.self_train +experiment=self_training rounds=3`."""

from typing import Any

from omegaconf import DictConfig

from fer_ssl.cli import require_lasting_folder, verb


def self_train(cfg: DictConfig) -> list[dict[str, Any]]:
    """Train a teacher and its students and return their figures."""
    require_lasting_folder(cfg)
    from fer_ssl import rounds  # torch and Lightning load only when there is something to train

    return rounds.self_train(cfg)


main = verb("self_train")(self_train)

if __name__ == "__main__":
    main()

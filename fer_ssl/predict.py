"""Predict expressions of faces: `python -m fer_ssl.predict ckpt_path=<file> unlabeled=folder unlabeled.root=<dir>`."""

from typing import Any

from omegaconf import DictConfig

from fer_ssl.cli import verb


def predict(cfg: DictConfig) -> dict[str, Any]:
    """Write what a checkpoint's averaged model says of faces without labels, and return the shares of the classes."""
    from fer_ssl.inference import predict_faces  # torch loads only when there is something to predict

    return predict_faces(cfg)


main = verb("predict")(predict)

if __name__ == "__main__":
    main()

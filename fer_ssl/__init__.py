"""Semi-supervised facial expression recognition: composable parts on PyTorch Lightning and Hydra."""

__version__ = "0.1.0"

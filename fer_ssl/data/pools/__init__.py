"""Unlabeled faces: each class has `load(decoder) -> Faces`."""

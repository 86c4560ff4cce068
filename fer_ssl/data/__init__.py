"""Faces from disk to batches: sources, pools, splits, samplers."""

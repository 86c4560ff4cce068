"""Hydra looks for launchers in packages of this place."""

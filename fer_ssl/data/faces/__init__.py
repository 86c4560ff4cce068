"""Procedural faces: expressions as action units, people, scenes, and a renderer."""

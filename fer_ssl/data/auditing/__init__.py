"""Faces that occur twice, people on both sides of a split, and labels that contradict each other."""

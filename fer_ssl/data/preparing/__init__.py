"""Raw photos to aligned, scored, deduplicated, documented faces: one file per stage."""

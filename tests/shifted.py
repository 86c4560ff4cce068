"""By how much the runs of a small sweep are apart, by experiment and seed."""

SEEDS = range(3)
SHIFTS = {"full": (0.1, 0.111, 0.131), "no_infonce": (0.08, 0.07, 0.14), "no_pool": (0.0, 0.02, 0.01)}

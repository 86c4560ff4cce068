"""Search for settings with Optuna: each trial is a training run of its own."""

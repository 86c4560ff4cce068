"""What accompanies training: checkpoints, telemetry, progress."""

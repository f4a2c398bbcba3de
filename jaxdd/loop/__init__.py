"""The loop that drives every long stage: chunks, checkpoints, progress."""

"""The runner: the place of devices, compilation, checkpoints, logs and progress."""

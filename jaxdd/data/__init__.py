"""Real data: read once, kept as uint8 on the device, sampled inside jit."""

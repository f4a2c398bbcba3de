"""Scalar losses between a synthetic set and a real batch, given one network."""

"""Devices and processes: meshes, agreement, supervision."""

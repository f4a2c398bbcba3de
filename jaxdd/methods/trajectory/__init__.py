"""Methods that match the trajectories of experts."""

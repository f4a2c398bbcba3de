"""Methods that match gradients or statistics of real images."""

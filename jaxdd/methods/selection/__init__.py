"""Methods that choose real images, or average them."""

"""Files of other programs, read without importing or executing anything of them."""

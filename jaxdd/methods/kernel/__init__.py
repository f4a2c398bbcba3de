"""Methods whose inner problem is a kernel ridge regression."""

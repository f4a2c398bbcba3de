"""Readers of files, one module a form."""

"""Experiments that record the cubes of the book: ``python -m experiments.NAME``."""

"""Quadruplets and the folders that they are read from."""

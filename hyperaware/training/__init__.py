"""Training: one loop for every method, and the recipes of the shipped models."""

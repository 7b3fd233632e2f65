"""Methods side by side on one protocol: what `hyperaware compare` does."""

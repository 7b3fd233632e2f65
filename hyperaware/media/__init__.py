"""Media from untrusted files, decoded with their limits checked first."""

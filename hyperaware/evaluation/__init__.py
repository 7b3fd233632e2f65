"""Measuring: rows to points, points to figures, figures to tables and pictures."""

"""Towers, preprocessing, tokenizer: what turns pictures and texts into points."""

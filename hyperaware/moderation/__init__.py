"""Moderation: bounds that are measured, queries that are redirected, verdicts that give their reason."""

"""Weight edits: a few weights of a finished model are changed without training, and can be changed back."""

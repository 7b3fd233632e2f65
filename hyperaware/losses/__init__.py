"""Loss terms: tensors in, one scalar out. Methods name and weigh them; nothing here knows a model."""

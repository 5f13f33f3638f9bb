"""The trainer: models, the training loop, checkpoints, and measures of what happens inside a model."""

"""The training engine: models, the training loop, checkpoints, and what can be seen inside a model."""

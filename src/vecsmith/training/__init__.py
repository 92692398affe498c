"""A recipe to a trained model: schema, lock, trainer, card."""

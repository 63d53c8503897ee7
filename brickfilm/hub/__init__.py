"""Publish a dataset, remove clips from it, and cut its clips again."""

"""Publish a dataset, remove clips from it, cut its clips again."""

"""Servers, fixtures and toys that tests share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The top of the checkout."""

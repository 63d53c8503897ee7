"""Embed pictures and texts by CLIP (extra `scores`), keep the vectors, and score them."""

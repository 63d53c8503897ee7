"""The seven inner operations of a block: a plain reference, and fast drop-ins of the same shapes.

`reference` is what the golden tests check and what any device runs.
"""

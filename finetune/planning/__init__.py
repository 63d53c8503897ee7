"""Estimate steps, hours, memory and disk before a run."""

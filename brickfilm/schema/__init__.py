"""Columns, buckets, licences and Hub errors: shared by both halves, standard library only."""

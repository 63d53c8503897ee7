"""Check a cluster before a training starts: ranks, versions, links, folders, cache."""

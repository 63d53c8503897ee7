"""Fixtures that more than one folder of tests uses live beside their servers."""

pytest_plugins = ["tests.servers.hub_plugin"]

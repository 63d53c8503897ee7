"""Fixtures that more than one folder of tests uses live beside their servers."""

pytest_plugins = ["tests.kit.servers.hub_plugin"]

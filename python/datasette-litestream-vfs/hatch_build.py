"""Makes the plugin depend on the version of litestream-vfs-rs with which it is published and tested, or a newer one."""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Dependencies(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = ["datasette>=0.65", f"litestream-vfs-rs>={metadata['version']}"]

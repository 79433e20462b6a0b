"""Gives the wheel the tag of the platform for which its library was built, which packaging/wheel knows."""

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PlatformTag(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ['LITESTREAM_VFS_WHEEL_PLATFORM']}"

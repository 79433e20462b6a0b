"""Gives the wheel the tag of the platform for which its library was built."""

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLATFORM = "LITESTREAM_VFS_WHEEL_PLATFORM"


class PlatformTag(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if PLATFORM not in os.environ:
            raise RuntimeError("the library is not part of this directory: build the wheel with packaging/wheel")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ[PLATFORM]}"

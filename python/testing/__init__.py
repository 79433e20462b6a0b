"""What the tests of all Python packages share: the real Litestream, an S3 server, and the blocks of documents."""

import re
from pathlib import Path

from .documents import Block, Document
from .primary import Primary, restored
from .s3 import S3Server

__all__ = ["MOMENT", "SAMPLE", "Block", "Document", "Primary", "S3Server", "restored"]

#: The sample replica, which has 632 orders, and 400 at MOMENT.
SAMPLE = Path(__file__).resolve().parents[2] / "sample/replica"
MOMENT = re.findall(r"'(\d{4}-.*Z)'", (SAMPLE.parent / "README.md").read_text())[0]

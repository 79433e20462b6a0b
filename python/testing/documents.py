"""The fenced blocks of a document, as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT = 120.0


@dataclass
class Block:
    """A fenced block. `printed` is the text block that follows directly, which is what the block prints."""

    language: str
    text: str
    line: int
    printed: str | None = None


@dataclass
class Document:
    """A document whose blocks run in `directory`, each in a process of its own, with these additional variables.

    `python` is the interpreter, by default that of the tests; programs next to it come first. `replace` contains texts that occur in
    blocks, and what to use instead, for example a time that the test's replica has.
    """

    path: Path
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    replace: dict[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)

    def blocks(self, *languages: str) -> list[Block]:
        """Returns the blocks in these languages, in order."""
        content = self.path.read_text(encoding="utf-8")
        found: list[Block] = []
        end, previous = -1, None
        for match in FENCE.finditer(content):
            block = Block(match[1], self._replaced(match[2]), content.count("\n", 0, match.start()) + 1)
            if block.language == "text" and previous is not None and not content[end : match.start()].strip():
                previous.printed = block.text
            found.append(block)
            end, previous = match.end(), block
        return [block for block in found if block.language in languages]

    def run(self, block: Block) -> str:
        """Runs a `python` or `sh` block, compares its output with the text block after it, and returns the output."""
        commands = {"python": [str(self.python), "-c"], "sh": ["bash", "-euo", "pipefail", "-c"]}
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, **self.environment}
        ended = subprocess.run(
            [*commands[block.language], block.text],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        where = f"{self.path.name}, line {block.line}"
        assert ended.returncode == 0, f"{where}: {ended.stdout}{ended.stderr}"
        if block.printed is not None:
            assert ended.stdout == block.printed, f"{where} prints\n{ended.stdout}"
        return ended.stdout

    def run_all(self) -> list[str]:
        """Runs every `python` and `sh` block, and returns their output."""
        return [self.run(block) for block in self.blocks("python", "sh")]

    def _replaced(self, text: str) -> str:
        for wanted, used in self.replace.items():
            text = text.replace(wanted, used)
        return text

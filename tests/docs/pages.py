"""README and docs as the tests read them: pages, their blocks of code, their links and their headings."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced block of code: where it stands, its language, and its text."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self):
        return f"{self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page.name}:{self.line}"

    @property
    def commands(self):
        """What is typed: all of a shell's block, and of a console's the lines behind the prompt."""
        if self.language == "console":
            return "".join(f"{line[2:]}\n" for line in self.code.splitlines() if line.startswith("$ "))
        return self.code


def blocks(page):
    """The fenced blocks of a page, in its order."""
    return [
        Block(page, token.map[0] + 1, token.info.split(" ")[0], token.content)
        for token in _MARKDOWN.parse(page.read_text(encoding="utf-8"))
        if token.type == "fence" and token.map
    ]


def spans(page):
    """What stands between backticks in the sentences and tables of a page."""
    return [child.content for child in _inline(page) if child.type == "code_inline"]


def links(page):
    """The targets of all links and images that are no addresses: a file, and a heading in it."""
    targets = [child.attrs.get("href", child.attrs.get("src", "")) for child in _inline(page)]
    return [str(target).partition("#")[::2] for target in targets if target and not re.match(r"\w+:", str(target))]


def anchors(page):
    """What can be linked to in a page, as GitHub derives it from the headings."""
    tokens = _MARKDOWN.parse(page.read_text(encoding="utf-8"))
    headings = [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _inline(page):
    tokens = _MARKDOWN.parse(page.read_text(encoding="utf-8"))
    return [child for token in tokens for child in token.children or []]

"""The JSON Schema of a results file. Run as a program it writes ``schema.json``, after a change of the records."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec

from gemmscope.records.model import Result


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a results file, as shipped in ``gemmscope/records/schema.json``."""
    schema = msgspec.json.schema(Result)
    # Python 3.13 takes the indentation out of docstrings, and the file is to be the same by all.
    for record in schema["$defs"].values():
        if "description" in record:
            record["description"] = inspect.cleandoc(record["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "gemmscope results", **schema}


if __name__ == "__main__":
    Path(__file__).with_name("schema.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted"), indent=1) + b"\n"
    )

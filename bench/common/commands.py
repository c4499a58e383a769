"""Commands of other tools."""

from __future__ import annotations

import subprocess

import click


def output_of(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What a command prints.

    Raises:
        ClickException: If it fails, with the end of what it says about that.
    """
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-3:]
        raise click.ClickException(f"{' '.join(command[1:4])}… ended with {done.returncode}: {' / '.join(last)}")
    return done.stdout

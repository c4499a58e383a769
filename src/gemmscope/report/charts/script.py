"""The script that draws charts in a page: Vega, Vega-Lite and Vega-Embed in one, without a network."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from gemmscope.report.charts.render import panics_are_errors

_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_PROGRAM = f"import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle({_SNIPPET!r}).encode())"


class ChartScript(contextlib.AbstractContextManager["ChartScript"]):
    """The script, made by a process of its own while the charts are drawn, which takes as long.

    vl-convert holds Python's lock while it bundles the script, so that a thread would not do.
    """

    def __init__(self) -> None:
        self._helper: subprocess.Popen[bytes] | None = None
        if not _made:
            # In a session of its own: Ctrl-C is for the run, which has what it needs and goes on to its end. Where no
            # process can be started, the script is made in this one.
            with contextlib.suppress(OSError):
                self._helper = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip

    def __exit__(self, *_error: object) -> None:
        if self._helper is not None:
            with self._helper:
                self._helper.kill()

    def text(self) -> str:
        """The script; it defines ``vegaEmbed``."""
        if not _made:
            written = self._helper.communicate()[0] if self._helper is not None else b""
            helped = self._helper is not None and self._helper.returncode == 0
            bundle = written.decode() if helped else _bundle()
            # Inside of a page no script may hold what ends one.
            _made.append(bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--"))
        return _made[0]


# One is enough for all pages that a process writes.
_made: list[str] = []


def _bundle() -> str:
    import vl_convert

    with panics_are_errors():
        return str(vl_convert.javascript_bundle(_SNIPPET))

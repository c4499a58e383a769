"""The commands that look at runs: list, report, explain and compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gemmscope.cli.parameters import FILE, FILE_OR_OUTPUT, FOLDER, complete_backends, percent
from gemmscope.cli.printing import EXIT_FAILED, EXIT_OK, print_document, print_json, print_result, say, tell, write
from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from gemmscope.api import Run


@click.command("list", short_help="List the runs and fleets there are.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
def list_runs(as_json: bool) -> None:
    """List the runs under gemmscope-results, the newest last: date, machine, what was fastest, and the folder.

    The ranks of a job, and what gemmscope fleet has measured, are one line: how many members, and who is slow.

    \b
    Example:
      gemmscope list
    """
    from gemmscope.report.runs import document, listed

    found = listed()
    if as_json:
        print_json(found)
    else:
        print_document(document(found))


@click.command(short_help="Print a run again, or export it.")
@click.argument("results", type=click.Path(exists=True), required=False)
@click.option("--figures", type=FOLDER, metavar="DIR", help="Draw the figures into this folder.")
@click.option("--html", type=FILE, metavar="FILE", help="Write the page: one file that needs no other.")
@click.option("--csv", type=FILE_OR_OUTPUT, metavar="FILE", help="Write CSV, one row per cell; - prints it instead of the tables.")  # fmt: skip
@click.option("--markdown", type=FILE_OR_OUTPUT, metavar="FILE", help="Write the tables as Markdown; - prints them instead.")  # fmt: skip
@click.option("--pyperf", type=FILE_OR_OUTPUT, metavar="FILE", help="Write the samples as pyperf's JSON; - prints it instead.")  # fmt: skip
@click.option("--share", is_flag=True, help="Leave private folders, and your user name in them, out of all that is written.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def report(
    results: str | None, figures: str | None, html: str | None, share: bool, as_json: bool, **files: str | None
) -> None:
    """Print a run's tables and findings again, or export it.

    RESULTS is a results file or the folder that holds it; by default the newest run under gemmscope-results. Of a run
    that was cut off before it had results, the journal is read.

    \b
    Examples:
      gemmscope report
      gemmscope report gemmscope-results/2026-11-22_201500_apple-m1/results.json
      gemmscope report some-folder --share --html for-a-colleague.html
      gemmscope report some-folder --csv cells.csv --markdown summary.md
      gemmscope report some-folder --pyperf - > pyperf.json
    """
    from gemmscope.records.sharing import shared
    from gemmscope.report.exports import to_csv, to_pyperf
    from gemmscope.report.markdown import markdown
    from gemmscope.report.model import Report
    from gemmscope.report.sections import for_file

    if [*files.values(), "-" if as_json else None].count("-") > 1:
        raise UsageError("only one of --csv, --markdown, --pyperf and --json can be printed: name files for the others")
    result = loaded(results)
    if share:
        result = shared(result)
    if "-" not in files.values():
        print_result(result, as_json=as_json)
    formats = {"csv": to_csv, "markdown": lambda result: markdown(for_file(Report(result))), "pyperf": to_pyperf}
    for name, formatted in formats.items():
        if (file := files[name]) is not None:
            write(file, formatted(result))
    if html is not None:
        from gemmscope.report.html import write_page

        write_page(result, Path(html))
        tell(f"Written: {html}")
    if figures is not None:
        from gemmscope.files import writing
        from gemmscope.report.charts import write_figures

        with writing(Path(figures)):
            drawn = write_figures(result, Path(figures))
        for path in drawn:
            tell(f"Drawn: {path}")


@click.command(short_help="Say in words what a run found.")
@click.argument("results", type=click.Path(exists=True), required=False)
@click.option("--backend", metavar="NAME", shell_complete=complete_backends, help="Only what is about this backend or its variants.")  # fmt: skip
@click.option("--shape", metavar="MxNxK", help="Only what is about this shape.")
@click.option("--claims", "only_claims", is_flag=True, help="Only what this run says of the claims of the comparison that gemmscope began with.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print findings and diagnoses as JSON, claims among them.")
def explain(results: str | None, backend: str | None, shape: str | None, only_claims: bool, as_json: bool) -> None:
    """Say in words what a run found: which library is fastest, why, and how sure that is.

    RESULTS is a results file or the folder that holds it; by default the newest run under gemmscope-results. Of a run
    that was cut off before it had results, the journal is read.

    \b
    Examples:
      gemmscope explain
      gemmscope explain --backend mlx-cpu --shape 256
      gemmscope explain gemmscope-results/2026-11-22_201500_apple-m1 --claims
    """
    from gemmscope.records.words import did_you_mean
    from gemmscope.report import causes
    from gemmscope.report.sections import document_of, is_claim, selected
    from gemmscope.workload.shapes import Shape

    result = loaded(results)
    names = {record.name for record in result.backends} | {record.name.partition(":")[0] for record in result.backends}
    # A library stands for the first of its plain backends.
    plain = {record.library: record.name.partition(":")[0] for record in reversed(result.backends) if record.is_choice}
    backend = backend if backend is None or backend in names else plain.get(backend, backend)
    if backend is not None and backend not in names:
        hint = did_you_mean(backend, names)
        raise UsageError(f"this run has no backend {backend!r}: {hint}it has {', '.join(sorted(names))}")
    wanted = None if shape is None else str(Shape.parse(shape))
    if wanted is not None and wanted not in result.settings.shapes:
        raise UsageError(f"this run has no shape {wanted}; it has {', '.join(result.settings.shapes)}")
    found = selected(result.findings, backend, wanted)
    why = [] if only_claims else causes.about(result.diagnoses, backend, wanted)
    if not as_json or only_claims:
        found = [one for one in found if is_claim(one) == only_claims]
    if as_json:
        print_json([*found, *why])
        return
    blocks = [*document_of(found), *causes.listed(why)]
    if blocks:
        print_document(blocks)
    else:
        say("Nothing was found about that in this run.\n")


@click.command(short_help="Compare runs, or machines.")
@click.argument("results", nargs=-1, type=click.Path(exists=True))
@click.option("--fail-slower-than", "limit", type=percent, metavar="PERCENT", help="Exit with status 1 where a cell is shown to be slower by more than this.")  # fmt: skip
@click.option("--margin", type=percent, default="2%", help="Smallest difference worth naming.  [default: 2%]")
@click.option("--fleet/--no-fleet", default=None, help="Machines side by side, or each run against the first.  [default: by whether their hardware differs]")  # fmt: skip
@click.option("--markdown", type=FILE_OR_OUTPUT, metavar="FILE", help="Write the summary as Markdown too; - prints it instead.")  # fmt: skip
@click.option("--figure", type=FILE, metavar="FILE", help="Draw machines by backend, as .svg, .png or .pdf; for a fleet.")  # fmt: skip
@click.option("--html", type=FILE, metavar="FILE", help="Write the page of a fleet: one file that needs no other.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of a table.")
def compare(
    results: tuple[str, ...],
    limit: float | None,
    margin: float,
    fleet: bool | None,
    markdown: str | None,
    figure: str | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Compare runs: ratios with intervals and verdicts, and what differs between them.

    RESULTS are results files, journals, or the folders that hold them; each is compared with the first. By default the
    newest run under gemmscope-results is compared with the one before it. It tells a library that changed from a
    machine that changed. Runs of different machines are put side by side, and those of the same hardware against the
    median of their peers; a folder then stands for all runs in it.

    \b
    Examples:
      gemmscope compare
      gemmscope compare before/ after/
      gemmscope compare main.json branch.json --fail-slower-than 5%
      gemmscope compare node*/results.json --figure fleet.svg
      gemmscope compare --fleet fleet/ --fail-slower-than 3% --html fleet.html

    Exit status: 0; 1 if a backend, or a member of a fleet, is slower than --fail-slower-than allows; 2 for bad usage,
    or runs that cannot be compared.
    """
    from gemmscope.analysis.runs.model import Fleet
    from gemmscope.api import compare as compare_files
    from gemmscope.report import between_runs as pages
    from gemmscope.report import fleet as fleet_pages
    from gemmscope.report.markdown import markdown as in_markdown
    from gemmscope.storage.store import newest

    found = compare_files(results or newest(2), margin=margin, fail_slower_than=limit, fleet=fleet)
    if isinstance(found, Fleet):
        page = fleet_pages.fleet_page(found)
        gates = [fleet_pages.gate_sentence(found)] if found.over_limit else []
    else:
        page = [block for one in found for block in pages.comparison_page(one)]
        gates = [pages.gate_sentence(one.gate) for one in found if one.gate is not None and one.gate.slower]
    for option, file in (("--figure", figure), ("--html", html)):
        if file is not None and not isinstance(found, Fleet):
            raise UsageError(f"{option} is for machines side by side: these runs are of one machine; ask with --fleet")
    if figure is not None and isinstance(found, Fleet):
        from gemmscope.report.charts.fleet import draw_fleet

        draw_fleet(found, Path(figure))
        tell(f"Drawn: {figure}")
    if html is not None and isinstance(found, Fleet):
        from gemmscope.report.html.fleet import write_fleet_page

        write_fleet_page(found, Path(html))
        tell(f"Written: {html}")
    if as_json:
        print_json(found)
    elif markdown != "-":
        print_document(page)
    if markdown is not None:
        write(markdown, in_markdown(page))
    for gate in gates:
        tell(f"gemmscope: {gate}")
    sys.exit(EXIT_FAILED if gates else EXIT_OK)


def loaded(results: str | None) -> Run:
    """The run that was named, or else the newest; of one that was cut off, how to go on is said beside it."""
    from gemmscope.api import load
    from gemmscope.storage.journal import JOURNAL
    from gemmscope.storage.store import newest

    path = Path(results) if results is not None else newest()[0]
    run = load(path)
    folder = path if path.is_dir() else path.parent
    if run.status == "partial" and (folder / JOURNAL).exists():
        tell(f"This run was cut off. Go on with: gemmscope run --resume {folder}")
    return run

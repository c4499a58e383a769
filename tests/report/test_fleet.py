"""What a fleet's document, chart and page say, of a few members and of a thousand."""

from __future__ import annotations

import base64
import json
import re

import msgspec
import pytest

from gemmscope import api
from gemmscope.analysis.runs.fleet import gather
from gemmscope.analysis.runs.model import ComparedRun, Deviation, Fleet, FleetMember, Spread, Straggler
from gemmscope.records.base import Interval
from gemmscope.report.charts.fleet import deviations_picture, draw_fleet
from gemmscope.report.document import Figures, Items, Paragraph
from gemmscope.report.fleet import fleet_page, gate_sentence, headline
from gemmscope.report.html.fleet import page
from gemmscope.report.markdown import markdown
from tests.builders import make_machine
from tests.fleets import make_fleet_run

SHAPE = {"backend": "numpy-cpu", "m": 64, "n": 64, "k": 64}


def large(count=1000, slow=(17,), name="node{}"):
    """A fleet of many hosts, of which some are 5 % slower."""
    members = [FleetMember(label=name.format(i), run=i, hardware="Example CPU") for i in range(count)]
    deviations = []
    for i in range(count):
        ratio = 1.05 if i in slow else 1 + 0.01 * (i / count - 0.5)
        verdict = "slower" if i in slow else "same"
        interval = Interval(estimate=ratio, low=ratio - 0.004, high=ratio + 0.004)
        deviations.append(Deviation(**SHAPE, member=i, seconds=5e-6 * ratio, ratio=interval, verdict=verdict, sets=5))
    stragglers = [
        Straggler(**SHAPE, member=i, ratio=deviations[i].ratio, slower=1, cells=1, text=f"{members[i].label} is slow.")
        for i in slow
    ]
    runs = [
        ComparedRun(label=one.label, started="2026-01-02T03:04:05+00:00", gemmscope="1", machine=make_machine(), sets=5)
        for one in members
    ]
    return Fleet(
        runs=runs, warnings=[], cells=[], members=members, deviations=deviations, stragglers=stragglers, tests=count,
        spreads=[Spread(**SHAPE, hardware="Example CPU", members=count, seconds=5e-6, deviation=0.004)],
    )  # fmt: skip


def small(**options):
    return gather([("here", make_fleet_run(4, slower={2: 1.03}))], margin=0.01, **options)


def test_the_answer_comes_first():
    blocks = fleet_page(small(limit=0.02))
    texts = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert texts[0] == "The gate does not hold: more than 2 % slower than their peers: gpu:2."
    assert texts[1] == "1 of 4 members is shown to be more than 1 % slower than its peers."
    (items,) = [block.items for block in blocks if isinstance(block, Items)]
    assert items[0].text.startswith("gpu:2 is 3.0 %")
    assert items[1].remedy == "CUDA_VISIBLE_DEVICES=4,5,7"
    table = next(block.table for block in blocks if isinstance(block, Figures))
    assert table.rows[0].label == "gpu:2"
    assert len(table.rows) == 8


def test_none_is_slower():
    fleet = gather([("here", make_fleet_run(4))], margin=0.01, limit=0.02)
    assert headline(fleet) == "None of 4 members is shown to be more than 1 % slower than its peers."
    assert gate_sentence(fleet) == "The gate holds: no member is shown to be more than 2 % slower than its peers."


def test_what_was_read_of_each_device_is_a_table():
    readings = [(i, {"sm_mhz": 1980.0, "held_by": ["power cap"]}) for i in range(3)]
    fleet = gather([("here", make_fleet_run(3, readings=readings))], margin=0.01)
    text = markdown(fleet_page(fleet))
    assert "SM" in text
    assert "1,980" in text
    assert "100 %" in text


def test_members_without_peers():
    one = gather([("here", make_fleet_run(1))], margin=0.01)
    assert "no two members" in headline(one).lower()
    assert page(one)


def test_of_a_thousand_members_a_reader_sees_the_ends_and_the_distribution():
    fleet = large()
    blocks = fleet_page(fleet)
    tables = [block.table for block in blocks if isinstance(block, Figures)]
    assert [len(table.rows) for table in tables] == [20, 1]
    assert tables[0].rows[0].label == "node17"
    assert "node17 +5.0 %" in markdown(blocks)
    assert len(markdown(blocks)) < 6000
    html = page(fleet)
    assert html.count("<tr>") < 30
    assert html.index("node17 is slow") < html.index("<table>")
    assert len(html) < 1_500_000
    rows = json.loads(deviations_picture(fleet).json)["datasets"]["numpy-cpu 64x64x64"]
    assert rows[0]["member"] == "node17"
    assert 300 < len(rows) < 400


def test_many_stragglers_are_counted_and_not_listed():
    fleet = large(slow=range(100))
    (items,) = [block.items for block in fleet_page(fleet) if isinstance(block, Items)]
    assert items[-1].text == "and 80 others: see --json"


def test_a_chart_of_few_has_a_row_for_each_and_of_many_a_distribution(tmp_path):
    few = json.loads(deviations_picture(small()).json)["vconcat"]
    assert [panel["title"]["text"] for panel in few] == ["torch-gpu at 4096×4096×4096", "torch-gpu at 8192×1×8192"]
    assert few[0]["layer"][1]["encoding"]["y"]["field"] == "member"
    many = json.loads(deviations_picture(large()).json)["vconcat"]
    assert many[0]["layer"][1]["encoding"]["x"]["field"] == "place"
    draw_fleet(large(), tmp_path / "fleet.svg")
    assert "node17" in (tmp_path / "fleet.svg").read_text()


@pytest.mark.parametrize("fleet", [large(40, name="<script>alert({})</script>")])
def test_a_name_from_a_file_is_never_markup(fleet):
    html = page(fleet)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_says_how_it_was_measured():
    assert "All devices worked at the same time" in page(small())
    apart = msgspec.structs.replace(small(), simultaneous=False)
    assert "Members were measured each for itself" in page(apart)
    two = gather([("here", make_fleet_run(2))], margin=0.01)
    assert re.search(r"Of two, each is the other.{1,6}s only peer", page(two))


def test_in_python_a_fleet_is_a_line_a_table_and_a_chart():
    fleet = api.Fleet.of(small())
    assert repr(fleet).startswith("<Fleet of 4 members, 2026-01-02. gpu:2 is 3.0 %")
    assert "\n" not in repr(fleet)
    assert "So are 99 others." in repr(api.Fleet.of(large(slow=range(100))))
    assert "None of 4 members is shown" in repr(api.Fleet.of(gather([("here", make_fleet_run(4))], margin=0.01)))
    assert fleet.table().startswith("4 members of a fleet\n")
    assert "\x1b" not in fleet.table()
    assert "Time against the median of the peers" in str(fleet.figure().to_dict())


def test_a_notebook_shows_a_fleet_s_answer_and_chart_and_folds_its_tables():
    shown = api.Fleet.of(large(slow=(17,), name="<script>node{}"))._repr_html_()
    assert shown.lstrip().startswith("<h3>1 of 1000 members is shown to be more than 2 % slower than its peers.</h3>")
    order = ["<h3>", "node17 is slow.", "<img src=", "<details>", "<table>"]
    assert [shown.index(text) for text in order] == sorted(shown.index(text) for text in order)
    assert "<script" not in shown
    (data,) = re.findall('base64,([^"]*)', shown)
    assert "node17" in base64.b64decode(data).decode()

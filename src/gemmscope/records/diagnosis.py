"""Diagnoses as records: a cause, what was seen of it, the experiments that tried it, and the remedy."""

from __future__ import annotations

from typing import Literal

from gemmscope.records.base import Interval, Mode, Record

# "untested" where an experiment exists and was not made: there was no time, or the file is older than the cause.
DiagnosisVerdict = Literal["confirmed", "refuted", "not testable", "untested"]


class Experiment(Record, frozen=True, kw_only=True):
    """A variant that takes a suspected cause away, paired with the original in sets of the same run.

    ``gain`` is how many times as fast the variant is as the original: above 1 where the cause costs time. It is None
    where the two were not measured together; ``reason`` then says why. ``changes_time`` says whether the difference is
    larger than what is worth naming once all experiments of the run are taken together.
    """

    variant: str
    mode: Mode = "latency"
    gain: Interval | None = None
    changes_time: bool = False
    sets: int = 0
    reason: str = ""


class Diagnosis(Record, frozen=True, kw_only=True):
    """Why a backend is slow at a shape, or what was suspected and is not why.

    ``id`` names the cause, such as ``"environment-variable"``; ``subject`` what it is about, such as the variable.
    ``symptom`` is what made the backend worth looking at, empty where the cause was looked for anyway. ``evidence`` was
    seen without an experiment. ``text`` says it in sentences. ``remedy`` is one line to paste, or a sentence where no
    line would do. ``brief`` is the cause in a few words, for a headline, or empty. ``gain`` is that of the experiment
    whose variant is the remedy. ``shape`` is empty for what concerns the whole run. ``matters`` is what a reader should
    be told first: confirmed causes, and those that cannot be tested and yet are plain to see.
    """

    id: str
    subject: str = ""
    backend: str = ""
    shape: str = ""
    symptom: str = ""
    evidence: dict[str, str | float | int | None] = {}
    experiments: list[Experiment] = []
    verdict: DiagnosisVerdict
    matters: bool = False
    reason: str = ""
    text: str = ""
    brief: str = ""
    remedy: str = ""
    gain: Interval | None = None

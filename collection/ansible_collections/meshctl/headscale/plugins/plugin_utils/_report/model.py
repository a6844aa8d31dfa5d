# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Define the report of a run, read it, and derive verdicts from checks."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _scrub as scrub
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.headline import headline
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD, SUPPORTED
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import columns, reading, walk
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import visible as shown
from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

SCHEMA_VERSION = 2
# Version 1 differs in having every check as an object.
_READ = (1, SCHEMA_VERSION)
FILE_NAME = "report.json"

CheckVerdict = Literal["passed", "failed", "skipped", "error"]
RunVerdict = Literal["passed", "failed", "error", "interrupted"]
CHECK_VERDICTS: tuple[CheckVerdict, ...] = ("passed", "failed", "skipped", "error")
_AGAIN = "run the story again to write a new one"

Check = dict[str, Any]


@dataclass(kw_only=True)
class Counts:
    """How many checks ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    error: int = 0
    total: int = 0

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Counts:
        """Count `checks` by verdict."""
        counted = Counter(check["verdict"] for check in checks)
        return cls(**{verdict: counted[verdict] for verdict in CHECK_VERDICTS}, total=counted.total())


@dataclass(kw_only=True)
class Story:
    """One story of the run, with the time that its plays took."""

    id: str
    title: str = ""
    verdict: str = "error"
    started: str = ""
    finished: str = ""
    duration_s: float = 0.0
    counts: Counts = field(default_factory=Counts)


@dataclass(kw_only=True)
class Note:
    """A failed task that did not stop the run and is not a verdict."""

    story: str
    host: str
    task: str
    message: str
    where: str = ""
    kind: Literal["rescued", "ignored", "unreachable", "report"] = "rescued"


@dataclass(kw_only=True)
class Report:
    """Everything that a run found; all that people and machines read is drawn from this."""

    run_id: str
    started: str
    finished: str = ""
    duration_s: float = 0.0
    verdict: RunVerdict = "error"
    command: str = ""
    playbooks: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    inventory: dict[str, Any] = field(default_factory=dict)
    topology: dict[str, Any] = field(default_factory=lambda: {"hosts": {}})
    pairs: dict[str, Any] = field(default_factory=dict)
    """What the sample of `mesh_pairs` covers; empty if all pairs are checked."""
    stories: list[Story] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    checks: list[Check] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data in the order in which people read it, without any secret."""
        return self.documents()[0]

    def documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the report with every check as an object, and with the passed ones in columns, as report.json has it."""
        # `asdict` copies deeply, which takes seconds for the checks of fifty nodes; they are JSON data already.
        head = plain(asdict(replace(self, checks=[])))
        if not head["pairs"]:
            del head["pairs"]
        said = headline(self.checks) or walk.headline(self.checks)
        first = {"headline": said} if said else {}
        data = {"schema_version": head.pop("schema_version"), **first, **head, "checks": self.checks}
        packed = columns.pack(data)
        if scrub.found("\n".join(columns.texts(packed))):
            data = scrub.data(data)
            packed = columns.pack(data)
        return data, packed

    @property
    def bad_checks(self) -> list[Check]:
        """The checks that failed or could not be made, in the order in which they landed."""
        return [check for check in self.checks if check["verdict"] in BAD]

    @property
    def hosts(self) -> dict[str, dict[str, Any]]:
        """The topology's hosts by inventory name."""
        hosts: dict[str, dict[str, Any]] = self.topology.get("hosts", {})
        return hosts

    def of_story(self, story: str) -> list[Check]:
        """Return the checks that belong to `story`."""
        return [check for check in self.checks if check["story"] == story]


def plain(value: Json) -> Json:
    """Return `value` as strict JSON data, without subclasses and NaN."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return round(float(value), 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def check(data: Mapping[str, Any], *, story: str, at: str = "") -> Check:
    """Return a check of a task in the form of the report; an invalid one becomes an `error`."""
    verdict = data.get("verdict")
    hint = str(data.get("hint") or "")
    if verdict not in CHECK_VERDICTS:
        known = ", ".join(CHECK_VERDICTS)
        hint = f"The assertion returned the verdict {verdict!r}, which is none of {known}. {hint}".rstrip()
        verdict = "error"
    owner = str(data.get("story") or story or "adhoc")
    evidence = data.get("evidence") or {}
    target = data.get("target")
    return {
        "id": str(data.get("id") or f"{owner}.unnamed"),
        "story": owner,
        "assertion": str(data.get("assertion") or ""),
        "aspect": str(data.get("aspect") or ""),
        "family": family if (family := data.get("family")) in ("ipv4", "ipv6") else None,
        "source": str(data.get("source") or ""),
        "target": None if target is None else str(target),
        "verdict": verdict,
        "expected": plain(data.get("expected")),
        "observed": plain(data.get("observed")),
        "duration_ms": _number(data.get("duration_ms")),
        "evidence": plain(evidence if isinstance(evidence, Mapping) else {"evidence": evidence}),
        "hint": hint,
        "reproduce": str(data.get("reproduce") or ""),
        "at": at,
    }


def unsupported(checks: Iterable[Check]) -> str:
    """Return why the inventory cannot run the story of these checks, empty if it can."""
    return next((str(check["hint"]) for check in checks if check.get("assertion") == SUPPORTED), "")


def story_verdict(counts: Counts, *, interrupted: bool = False, supported: bool = True) -> str:
    """Return a story's verdict; one that proved nothing is `skipped`, not `passed`."""
    if interrupted:
        return "interrupted"
    if counts.failed:
        return "failed"
    if counts.error:
        return "error"
    return "passed" if counts.passed and supported else "skipped"


def run_verdict(
    stories: Iterable[Story], counts: Counts, *, interrupted: bool = False, incomplete: bool = False
) -> RunVerdict:
    """Return the run's verdict: stories that made no check at all are an error, for nothing was proven."""
    if interrupted:
        return "interrupted"
    if counts.failed:
        return "failed"
    proven_nothing = any(True for _story in stories) and not counts.passed
    return "error" if counts.error or incomplete or proven_nothing else "passed"


def parse(data: Json, *, where: str = FILE_NAME) -> Report:
    """Return the report that `data` (the content of a report.json) holds."""
    if not isinstance(data, dict) or "schema_version" not in data:
        raise CouldNotRun(f"{where} is not a meshctl report: it has no schema_version.")
    version = data["schema_version"]
    if version not in _READ:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        remedy = "read it with the meshctl that wrote it, or a newer one" if newer else _AGAIN
        raise CouldNotRun(
            f"{where} has report schema {version!r}, and this meshctl reads schema {SCHEMA_VERSION}; {remedy}."
        )
    try:
        stories = [Story(**{**story, "counts": Counts(**story["counts"])}) for story in data["stories"]]
        notes = [Note(**note) for note in data["notes"]]
        known = {key: value for key, value in data.items() if key in Report.__dataclass_fields__}
        whole = columns.unpack(data)["checks"]
        checks = [check if "assertion" in check else {**_named(check), **check} for check in whole]
        made = {"stories": stories, "notes": notes, "counts": Counts(**data["counts"]), "checks": checks}
        return Report(**{**known, **made, "schema_version": SCHEMA_VERSION})
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CouldNotRun(f"{where} is damaged ({type(error).__name__}: {error}); {_AGAIN}.") from error


def _named(check: Check) -> dict[str, Any]:
    """Return the fields that reports of older versions lack, from the id of a check."""
    _story, assertion, aspect = [*str(check["id"]).split(".", 2), "", ""][:3]
    return {"assertion": assertion, "aspect": aspect, "family": aspect if aspect in ("ipv4", "ipv6") else None}


@dataclass(kw_only=True)
class Visible(Report):
    """A report without secrets, in which control characters are visible: for terminals, HTML and XML."""


def visible(report: Report) -> Visible:
    """Return the report with control characters made visible; one that is visible already stays as it is."""
    if isinstance(report, Visible):
        return report
    return visible_of(*report.documents())


def visible_of(data: Mapping[str, Any], packed: Mapping[str, Any]) -> Visible:
    """Return the visible report with this data, once with every check as an object and once with columns."""
    return Visible(**vars(parse(shown.data(data) if any(map(shown.acting, columns.texts(packed))) else data)))


def load(path: str | Path) -> Report:
    """Read a report: `path` is a run directory, or a report.json."""
    file = Path(path)
    try:
        if file.is_dir():
            file = file / FILE_NAME
        data = reading.document(file)
    except FileNotFoundError as error:
        raise CouldNotRun(f"There is no report at {file}; run a story, or name a run that has one.") from error
    except PermissionError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}. Name a report of this user's.") from error
    except OSError as error:
        raise CouldNotRun(f"{file} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise CouldNotRun(f"{file} is not JSON of a report ({error}); {_AGAIN}.") from error
    report = parse(data, where=str(file))
    try:
        validate(data)
    except CouldNotRun as error:
        raise CouldNotRun(f"{file}: {error}") from error
    # The schema does not describe the rows of tables.
    if wrong := next(filter(None, map(reading.wrong_field, report.checks)), ""):
        raise CouldNotRun(f"{file} is damaged (a check has a wrong {wrong}); {_AGAIN}.")
    return report


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of the report."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name("report.schema.json").read_text(encoding="utf-8"))
    return data


def validate(data: Mapping[str, Any]) -> None:
    """Raise `CouldNotRun` naming the first place where `data` differs from the published schema."""
    import jsonschema  # 60 ms that a run without a report need not pay

    validator = jsonschema.Draft202012Validator(schema())
    error = jsonschema.exceptions.best_match(validator.iter_errors(data))
    if error is not None:
        raise CouldNotRun(f"the report does not follow its schema at {error.json_path}: {error.message[:300]}.")


def query(report: Report | Mapping[str, Any], expression: str) -> Json:
    """Return what the JMESPath `expression` finds in the report."""
    import jmespath  # only who asks needs it

    data = report.as_dict() if isinstance(report, Report) else report
    try:
        return jmespath.search(expression, data)
    # JMESPathError is a ValueError. The others come from values that an expression does not expect, such as null.
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"The query {expression!r} is not a JMESPath that fits a report: {reason}") from error


def utc_text(moment: datetime) -> str:
    """Return `moment` as the report writes times: UTC, ISO 8601, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(started: str, finished: str) -> float:
    """Return the seconds between two times of a report; 0 where one is missing."""
    try:
        return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
    except ValueError:
        return 0.0


def _number(value: Json) -> float:
    """Return a duration as a finite number that is not below zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return round(max(float(value), 0.0), 3)

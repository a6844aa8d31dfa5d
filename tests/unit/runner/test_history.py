# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the history keeps of reports, how it sums them up, and what it survives."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import watch_reports
from meshctl_headscale import _reports, _when
from meshctl_headscale._commands import history as command
from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._history import facts, flapping, page, store, summary
from meshctl_headscale.cli import app
from typer.testing import CliRunner
from watch_reports import START, report

HOUR = 3600.0


@pytest.fixture
def history(tmp_path: Path) -> Iterator[store.Store]:
    with store.open_to_write(tmp_path / "history.sqlite")[0] as opened:
        yield opened


def add(history: store.Store, *arguments: Any, **fields: Any) -> bool:
    return history.add(facts.read(report(*arguments, **fields)))


def whole(history: store.Store) -> summary.Summary:
    return summary.summarize(history, START - HOUR, START + 100 * HOUR)


def test_an_incident_lasts_from_the_first_bad_run_to_the_first_good_one(history: store.Store) -> None:
    for number, down in enumerate([(), ("two",), ("two",), ()]):
        assert add(history, START + number * 300, down=down)
    found = {(item.id, item.source, item.target): item for item in whole(history).incidents}
    assert set(found) == {
        ("us1.reachable.ipv4", "one", "two"),
        ("us1.reachable.ipv4", "two", "one"),
        ("us1.registered", "server", "two"),
    }
    incident = found["us1.registered", "server", "two"]
    assert (incident.since, incident.until, incident.runs) == (START + 300, START + 900, 2)
    assert incident.duration_s == 600
    assert incident.ended == "passed"
    assert incident.hint == "the server reports two as offline"


def test_a_run_is_added_once(history: store.Store) -> None:
    assert add(history, START)
    assert not add(history, START)
    assert len(whole(history).runs) == 1


def test_an_incident_of_a_host_that_left_the_inventory_ends(history: store.Store) -> None:
    add(history, START, nodes=("server", "one", "two"), down=("two",))
    add(history, START + 300, nodes=("server", "one"))
    assert {incident.ended for incident in whole(history).incidents} == {"removed"}


def test_a_check_that_was_not_made_ends_nothing(history: store.Store) -> None:
    add(history, START, nodes=("server", "one", "two"), down=("two",))
    without = report(START + 300, nodes=("server", "one", "two"))
    without.checks = [check for check in without.checks if check["assertion"] != "registered"]
    history.add(facts.read(without))
    open_ones = [incident.id for incident in whole(history).incidents if incident.until is None]
    assert open_ones == ["us1.registered"]


def _with(moment: float, *checks: tuple[str, str, str | None, str], **fields: Any) -> facts.Facts:
    """Return the facts of a run that makes just these checks, each `(id, source, target, verdict)`."""
    made = report(moment, nodes=("server", "one", "two"), **fields)
    made.checks = [watch_reports.check(*check[:3], moment, verdict=check[3]) for check in checks]
    return facts.read(made)


@pytest.mark.parametrize(
    ("bad", "again"),
    [
        (("us1.host_reachable", "two", None, "error"), ("us1.reachable.ipv4", "two", "one", "failed")),
        (("us1.task", "two", None, "error"), ("us1.connected", "two", None, "passed")),
        (("playbook.task", "two", None, "error"), ("us1.connected", "two", None, "passed")),
        (("playbook.playbook", "localhost", None, "error"), ("us1.connected", "two", None, "passed")),
        (("doctor.network", "two", None, "failed"), ("doctor.tun", "two", None, "passed")),
        (("doctor.start", "server", None, "failed"), ("doctor.api", "server", None, "passed")),
        (("doctor.hardening.api_key", "server", "API key 1", "failed"), ("doctor.hardening", "server", None, "passed")),
        (("doctor.hardening.files", "server", "/a", "failed"), ("doctor.hardening.policy", "server", None, "failed")),
    ],
)
def test_what_is_seen_only_while_it_is_bad_ends_with_the_next_look(
    history: store.Store, bad: tuple[str, str, str | None, str], again: tuple[str, str, str | None, str]
) -> None:
    def found() -> list[tuple[float | None, str]]:
        return [(item.until, item.ended) for item in whole(history).incidents if item.id == bad[0]]

    history.add(_with(START, bad))
    history.add(_with(START + 300, bad, again))
    assert found() == [(None, "")]
    history.add(_with(START + 600, again))
    assert found() == [(START + 600, "passed")]


@pytest.mark.parametrize(
    ("bad", "other"),
    [
        # Another host, another story, and nothing that was judged.
        (("us1.host_reachable", "two", None, "error"), ("us1.connected", "one", None, "passed")),
        (("us1.host_reachable", "two", None, "error"), ("us2.path", "two", "one", "passed")),
        (("us1.host_reachable", "two", None, "error"), ("us1.connected", "two", None, "skipped")),
        (("us1.task", "two", None, "error"), ("us1.host_reachable", "two", None, "error")),
        # Without a list of nodes, nothing of this is examined.
        (("doctor.hardening.api_key", "server", "API key 1", "failed"), ("doctor.api", "server", None, "failed")),
        # The server was examined, but not the client.
        (("doctor.prefixes", "server", "two", "failed"), ("doctor.api", "server", None, "passed")),
        # An ordinary check.
        (("doctor.prefixes", "server", None, "failed"), ("doctor.api", "server", None, "passed")),
        (("doctor.magic_dns", "two", None, "failed"), ("doctor.tun", "two", None, "failed")),
    ],
)
def test_a_look_elsewhere_ends_nothing(
    history: store.Store, bad: tuple[str, str, str | None, str], other: tuple[str, str, str | None, str]
) -> None:
    history.add(_with(START, bad))
    history.add(_with(START + 300, other))
    assert [item.until for item in whole(history).incidents if item.id == bad[0]] == [None]


def test_an_interrupted_run_and_a_late_one_end_nothing(history: store.Store) -> None:
    good = ("us1.connected", "two", None, "passed")
    history.add(_with(START, ("us1.host_reachable", "two", None, "error")))
    interrupted = report(START + 300, nodes=("server", "one", "two"))
    interrupted.checks = [watch_reports.check(*good[:3], START + 300)]
    interrupted.verdict = "interrupted"
    history.add(facts.read(interrupted))
    history.add(_with(START - 300, good))
    assert [item.until for item in whole(history).incidents] == [None]


def test_runs_that_are_added_late_do_not_reopen_an_incident(history: store.Store) -> None:
    add(history, START, down=("two",))
    add(history, START + 600)
    add(history, START + 300, down=("two",))
    assert all(incident.until == START + 600 for incident in whole(history).incidents)


def test_availability_and_percentiles(history: store.Store) -> None:
    for number in range(10):
        add(history, START + number * 300, down=("two",) if number == 3 else (), latency_ms=number + 1.0)
    found = whole(history)
    pair = next(pair for pair in found.pairs if pair.source == "one")
    assert pair.availability == 0.9
    # 1 to 10 ms without 4.
    assert pair.latency_s == {"p50": 0.006, "p90": 0.01, "p99": 0.01}
    nodes = {node.node: node for node in found.nodes}
    assert nodes["two"].availability == 0.9
    assert nodes["two"].changes == 2
    assert nodes["one"].availability == 1.0
    assert found.stories[0].passed == 9


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([True] * 30, False),
        ([True] * 20 + [False], False),
        ([True, False] * 11, True),
        ([True] * 18 + [False, True, True], False),
        ([True] * 14 + [True, False] * 3, True),
        ([], False),
    ],
)
def test_what_flaps(states: list[bool], expected: bool) -> None:
    assert flapping.flaps(states) is expected


def test_what_flapped_has_to_become_calm() -> None:
    calmer = [True, False, True, False] + [True] * 17
    assert not flapping.flaps(calmer)
    assert flapping.flaps(calmer, before=True)
    assert not flapping.flaps([True, False] + [True] * 19, before=True)


def test_old_runs_are_dropped_with_their_names(history: store.Store) -> None:
    add(history, START, nodes=("old", "one"))
    add(history, START + 40 * 86400, nodes=("one", "two"))
    history.prune(keep_s=30 * 86400)
    names = {name for (name,) in history.rows("SELECT text FROM name")}
    assert names == {"one", "two"}
    assert [count for (count,) in history.rows("SELECT count(*) FROM pair_sample")] == [2]


def _jump(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr(store.time, "time", lambda: now)


YEAR = 365 * 86400.0


def test_a_run_of_the_future_is_refused(history: store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _jump(monkeypatch, START)
    add(history, START, down=("two",))
    with pytest.raises(
        store.HistoryError,
        match=r"20360227T120000Z-us1 cannot be added to the history: it ended at 2036-02-27T12:00:00Z, but this",
    ):
        add(history, START + 10 * YEAR)
    history.prune()
    add(history, START + 3600)
    history.prune()
    assert [run.finished for run in whole(history).runs] == [START, START + 3600]


def test_a_clock_that_was_ahead_costs_little_and_stops_nothing(
    history: store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _jump(monkeypatch, START)
    for number in range(20):
        add(history, START + number * 300, down=("two",))
    _jump(monkeypatch, START + 10 * YEAR)
    add(history, START + 10 * YEAR, down=("two",))
    history.prune()
    assert len(whole(history).runs) == 17
    _jump(monkeypatch, START + HOUR * 2)
    add(history, START + HOUR * 2)
    history.prune()
    assert len(whole(history).runs) == 18
    assert {(item.since, item.until) for item in whole(history).incidents} == {(START, START + HOUR * 2)}
    assert {node.node: node.online for node in whole(history).nodes}["two"] is True


def test_an_outage_that_ended_in_the_future_can_begin_again(
    history: store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, down in ((START, ("two",)), (START + 10 * YEAR, ()), (START + 300, ("two",)), (START + 600, ())):
        _jump(monkeypatch, at)
        add(history, at, down=down)
    ends = {item.until for item in whole(history).incidents}
    assert START + 600 in ends


def test_a_clock_that_is_behind_changes_nothing(history: store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        add(history, START + number * 300, down=("two",))
    _jump(monkeypatch, 1000.0)
    add(history, 1000.0)
    history.prune()
    assert len(whole(history).runs) == 3
    assert {item.until for item in whole(history).incidents} == {None}


def test_many_old_runs_are_dropped_bit_by_bit(history: store.Store) -> None:
    for number in range(20):
        add(history, START + number * 300)
    add(history, START + 31 * 86400)
    counts = []
    for _ in range(14):
        history.prune()
        counts += [count for (count,) in history.rows("SELECT count(*) FROM run")]
    assert counts == [18, 16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1, 1]


def test_the_file_does_not_grow_beyond_its_size(tmp_path: Path) -> None:
    largest = 192 << 10
    nodes = [f"node-{number}" for number in range(12)]
    with store.open_to_write(tmp_path / "h.sqlite", largest_bytes=largest)[0] as history:
        for number in range(60):
            assert add(history, START + number * 300, nodes=nodes)
        found = [row[0] for row in history.rows("SELECT run_id FROM run ORDER BY finished")]
    assert (tmp_path / "h.sqlite").stat().st_size <= largest
    assert 3 < len(found) < 59
    # The newest are kept.
    assert found[-1] == facts.read(report(START + 59 * 300)).run_id


@pytest.mark.parametrize("damage", [b"no database at all" * 500, None])
def test_a_damaged_history_is_moved_away(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "h.sqlite"
    with store.open_to_write(path)[0] as history:
        for number in range(8):
            add(history, START + number * 300, nodes=[f"node-{n}" for n in range(8)])
    if damage is None:
        content = bytearray(path.read_bytes())
        content[4096 * 3 : 4096 * 9] = b"\xff" * 4096 * 6
        damage = bytes(content)
    path.write_bytes(damage)
    history, said = store.open_to_write(path)
    with history:
        assert "is damaged" in said
        assert "a new history was started" in said
        assert add(history, START)
    assert path.with_name("h.sqlite.damaged").read_bytes() == damage


def test_reading_a_damaged_history_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    path.write_bytes(b"no database" * 1000)
    result = CliRunner().invoke(app, ["history", "--history", str(path)])
    assert result.exit_code != 0
    assert "is damaged" in str(result.exception)


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.geteuid() != 0, reason="mounting a small disk requires root")
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # In a namespace of its own, so that the mount ends with the process.
    code = f"""\
import sys; sys.path[:0] = {sys.path!r}
import watch_reports
from meshctl_headscale._history import facts, store
from pathlib import Path
history, _said = store.open_to_write(Path({str(disk)!r}) / "dir" / "h.sqlite")
nodes = [f"node-{{n}}" for n in range(10)]
added = 0
try:
    for number in range(10000):
        history.add(facts.read(watch_reports.report(watch_reports.START + number * 300, nodes)))
        added += 1
except store.HistoryError as error:
    print(error)
print(added, next(history.rows("SELECT count(*) FROM run"))[0], next(history.rows("PRAGMA quick_check"))[0])
"""  # noqa: S608
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o size=200k none {disk} && exec \"$0\" -c \"$1\"", sys.executable, code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "mount" in done.stderr and done.returncode == 32:
        pytest.skip("this machine allows no mount")
    assert "the disk is full" in done.stdout, done.stderr
    added, kept, sound = done.stdout.split()[-3:]
    assert added == kept
    assert int(added) > 3
    assert sound == "ok"


def test_a_killed_writer_leaves_a_sound_history(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import watch_reports
from meshctl_headscale._history import facts, store
from pathlib import Path
nodes = [f"node-{{n}}" for n in range(10)]
history, _said = store.open_to_write(Path({str(path)!r}))
print("ready", flush=True)
for number in range(10000):
    history.add(facts.read(watch_reports.report(watch_reports.START + number * 300, nodes)))
"""
    for wait in (0.0, 0.03, 0.07, 0.11):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
            time.sleep(wait)
            writer.send_signal(signal.SIGKILL)
        history, said = store.open_to_write(path)
        with history:
            assert not said
            # Whole runs only: each has all of its pairs.
            counted = {count for (count,) in history.rows("SELECT count(*) FROM pair_sample GROUP BY run")}
            assert counted <= {90}


def test_hostile_names_are_bounded_and_escaped(history: store.Store) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m" + "x" * 500
    add(history, START, nodes=("one", hostile), down=(hostile,))
    found = whole(history)
    assert all(len(node.node) <= 120 for node in found.nodes)
    html = page.render(found, title="<b>")
    assert "<script" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html


def test_the_page_works_without_javascript_and_fits_a_phone(history: store.Store) -> None:
    for number in range(50):
        add(history, START + number * 300, down=("two",) if number % 7 == 0 else ())
    html = page.render(summary.summarize(history, START, START + 50 * 300), title="lab")
    assert "<script" not in html
    assert 'name="viewport" content="width=device-width' in html
    assert "@media (max-width:640px)" in html
    # No fixed width that a phone does not have, and nothing from elsewhere.
    assert all(int(width) <= 320 for width in re.findall(r"[;{]width:(\d+)px", html))
    assert not re.findall(r"(?:src|href)=", html)
    assert "<polyline" in html
    assert "us1.registered" in html
    assert "UTC</span> for" in html, "two words are apart"


def test_a_node_with_the_name_of_a_host_is_not_that_host() -> None:
    made = report(START, ("web1", "two"), down=("web1",))
    made.topology["hosts"]["web1"]["mesh_name"] = "web1-prod"
    made.topology["hosts"]["two"]["mesh_name"] = "two"
    soon = {"observed": {"expires": watch_reports.at(START + 60)}, "evidence": {"online": False}}
    never = {"observed": {"expires": "never"}, "evidence": {"online": True}}
    made.checks += [
        watch_reports.check("doctor.expiry", "server", "web1-prod", START, **soon),
        # Listed later, by a name that any node can take.
        watch_reports.check("doctor.expiry", "server", "web1", START, **never),
        watch_reports.check("doctor.expiry", "server", "two", START, **never),
        watch_reports.check("doctor.expiry", "server", "phone", START, **never),
        watch_reports.check("doctor.upgrade.client", "server", "web1", START, observed={"version": "1.2.3"}),
    ]
    nodes = {node.name: node for node in facts.read(made).nodes}
    assert set(nodes) == {"web1", "web1 (mesh)", "two", "phone"}
    assert (nodes["web1"].online, nodes["web1"].expiry, nodes["web1"].version) == (False, START + 60, "1.2.3")
    assert (nodes["web1 (mesh)"].online, nodes["web1 (mesh)"].expiry) == (True, None)


def test_nodes_are_hosts_where_no_name_in_the_mesh_is_known() -> None:
    made = report(START, ("web1",))
    made.checks = [watch_reports.check("doctor.expiry", "server", "web1", START, evidence={"online": True})]
    assert [node.name for node in facts.read(made).nodes] == ["web1"]


def test_json_has_everything(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "20260301T120000Z-us1"
    runs.mkdir(parents=True)
    (runs / "report.json").write_text(json.dumps(report(START, down=("two",)).as_dict()))
    file = tmp_path / "dir" / "h.sqlite"
    arguments = ["history", "--history", str(file), "--since", "2026-03-01", "--until", "2026-03-02"]
    result = CliRunner().invoke(app, [*arguments, "--add", str(runs), "--json"])
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert {"since", "until", "runs", "incidents", "stories", "nodes", "pairs"} <= set(found)
    assert found["nodes"][1]["online"] is False
    table = CliRunner().invoke(app, arguments).stdout
    assert "one → two" in table
    assert "so far" in table


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE run (id)")
    before = path.read_bytes()
    for open_it in (store.Store, store.open_to_write):
        with pytest.raises(store.HistoryError, match="is a database of another program"):
            open_it(path)
    with pytest.raises(store.HistoryError, match="is a directory"):
        store.open_to_write(tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_there_is_no_history_yet(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["history", "--history", str(tmp_path / "none.sqlite")])
    assert "There is no history" in str(result.exception)
    assert not list(tmp_path.iterdir())


# In UTC, the last two are in the years 10000 and 0.
@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-13-01", "5", "12:00", "m5", "9999-12-31T23:59-14:00", "0001-01-01T00:00+14:00"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadInputError, match="is not a time"):
        _when.moment(text, "--since")


def test_times() -> None:
    assert _when.moment("2026-03-01T12:00", "--since") == START
    assert _when.moment("2026-03-01 13:00:00+01:00", "--since") == START
    assert abs(time.time() - 5400 - _when.moment("1h30m", "--since")) < 5


def test_runs_are_compared_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path))
    names = ["20260301T110000Z-us1", "20260301T115000Z-doctor", "20260301T120000Z-us1", "20260301T121000Z-up"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").touch()
    old, new = _reports.find_two("2026-03-01T11:55", "now")
    assert (old.name, new.name) == (names[0], names[2])
    old, new = _reports.find_two("doctor", "2026-03-01T13:00")
    assert (old.name, new.name) == (names[1], names[1])
    with pytest.raises(BadInputError, match=r"There is no run of us1 in .* that had started at 2026-03-01"):
        _reports.find_two("2026-03-01", "now")


def test_facts_of_watch_reports_are_times() -> None:
    assert facts.moment(watch_reports.at(START)) == START
    assert facts.moment("2026-03-01T12:00:00.123456789Z") == START + 0.123456
    assert facts.moment("0001-01-01T00:00:00Z") is None
    assert facts.moment("soon") is None


@pytest.mark.parametrize("lab", ["a/../../../evil", "BAD"])
@pytest.mark.parametrize("more", [[], ["-i", "hosts.yml"], ["--history", "h.sqlite"]])
def test_the_name_of_a_lab_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: str, more: list[str]
) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(report(START).as_dict()))
    result = CliRunner().invoke(app, ["history", "--lab", lab, "--add", str(tmp_path), *more])
    assert f"lab_name '{lab}' must be" in str(result.exception)
    assert not list(tmp_path.rglob("*.sqlite"))
    added = CliRunner().invoke(app, ["history", "--lab", "good", "--add", str(tmp_path), *more])
    assert added.exit_code == 0, added.exception
    assert len(list(tmp_path.rglob("*.sqlite"))) == 1


def test_a_full_disk_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page_file, link = tmp_path / "mesh.html", tmp_path / "link.html"
    page_file.write_text("old")
    page_file.chmod(0o640)
    link.symlink_to(page_file)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MeshctlError, match="cannot be written: No space left on device"):
            command._write("new", str(page_file))
    assert page_file.read_text() == "old"
    command._write("new", str(link))
    assert link.is_symlink()
    assert page_file.read_text() == "new"
    assert stat.S_IMODE(page_file.stat().st_mode) == 0o640
    command._write("first", str(tmp_path / "other.html"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "mesh.html", "other.html"]


def test_runs_that_check_nothing_are_not_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path))
    nothing = ["up", "up-2", "down", "faults-inject", "faults-clear", "faults-clear-3"]
    # The last two are playbooks of a user.
    names = ["20260301T110000Z-us1", "20260301T120000Z-clear", "20260301T130000Z-my-up"]
    for name in [*names, *(f"20260302T000000Z-{kind}" for kind in nothing)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").touch()
    assert _reports.find(None).name == names[-1]
    assert [path.name for path in _reports._known(tmp_path)[:3]] == names[::-1]
    assert _reports.find("faults-clear").name == "20260302T000000Z-faults-clear-3"
    with pytest.raises(BadInputError, match="There is no run in"):
        _reports.find_two("2026-03-01", "2026-03-01")

"""The metrics that `status` writes, read back as Prometheus reads them, and the alerts that are built on them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from prometheus_client.parser import text_string_to_metric_families

from mdata.files import replace_whole

ALERTS = Path(__file__).parent.parent / "docs" / "examples" / "mdata-alerts.yml"
BTC, ETH = ({"symbol": one, "timeframe": "1m", "exchange": "bitfinex"} for one in ("tBTCUSD", "tETHUSD"))


def read(path: Path) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        assert family.type == "gauge"
        # The textfile collector takes no timestamps.
        assert [sample.timestamp for sample in family.samples] == [None] * len(family.samples)
        found[family.name] = [(sample.labels, sample.value) for sample in family.samples]
    return found


def value(found: dict[str, Any], name: str, **labels: str) -> float:
    (only,) = [number for has, number in found[name] if has == labels]
    return float(only)


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A store with a lost candle that is listed as a gap, a retired series, and a configured one without data."""
    folder.run("backfill", BACKFILL_DAYS="1", SYMBOLS="BTCUSD,SPAUSD")
    folder.rows(
        "DELETE FROM candles WHERE open_time = (SELECT max(open_time) - 3600000 FROM candles) AND series_id = 1"
    )
    folder.run("detect-gaps")
    folder.settings["SYMBOLS"] = "BTCUSD,ETHUSD"
    return folder


def test_the_metrics_say_what_the_json_says(filled: Folder) -> None:
    path = filled.path / "mdata.prom"
    ended = filled.run("status", "--json", "--prometheus", str(path))
    assert ended.exit == 0
    status, found = ended.json, read(path)
    bitcoin = next(one for one in status["series"] if one["symbol"] == "tBTCUSD")
    assert value(found, "mdata_candles", **BTC) == bitcoin["candles"] > 1000
    for verdict in ("present", "empty", "provisional", "unknown"):
        assert value(found, "mdata_intervals", **BTC, verdict=verdict) == bitcoin[verdict]
    assert value(found, "mdata_lost_candles", **BTC) == 1
    assert value(found, "mdata_lag_seconds", **BTC) == bitcoin["lag_seconds"]
    gaps = {labels["status"]: number for labels, number in found["mdata_gaps"] if labels["symbol"] == "tBTCUSD"}
    assert gaps == {"open": 1, "repaired": 0, "empty": 0, "failed": 0}
    assert [labels for labels, _ in found["mdata_oldest_gap_timestamp_seconds"]] == [BTC]
    assert value(found, "mdata_series_fresh", **BTC) == 1
    assert value(found, "mdata_series_fresh", **ETH) == 0
    assert value(found, "mdata_last_exit_code", command="backfill") == 0
    assert value(found, "mdata_last_run_requests", command="backfill") > 0
    began, ended_well = (
        value(found, f"mdata_last_{what}_timestamp_seconds", command="backfill") for what in ("run", "success")
    )
    assert began <= ended_well <= value(found, "mdata_scrape_timestamp_seconds")
    assert value(found, "mdata_rate_limit_blocked") == 0
    assert value(found, "mdata_database_bytes") == status["database"]["bytes"]
    assert value(found, "mdata_healthy") == 0
    assert value(found, "mdata_check_exit_code") == 3
    ((build, one),) = found["mdata_build_info"]
    assert (one, build["sqlite"]) == (1, status["database"]["sqlite_version"])
    assert "tSPAUSD" not in path.read_text()


def test_the_health_check_keeps_the_file_of_the_settings_up_to_date(filled: Folder) -> None:
    path = filled.path / "textfile" / "mdata.prom"
    path.parent.mkdir()
    filled.settings["PROMETHEUS_TEXTFILE"] = str(path)
    assert filled.run("status").exit == 0
    assert not path.exists()
    assert filled.run("status", "--check").exit == 3
    assert value(read(path), "mdata_healthy") == 0
    filled.run("repair")
    assert filled.run("status", "--check", SYMBOLS="BTCUSD").exit == 0
    found = read(path)
    assert (value(found, "mdata_healthy"), value(found, "mdata_check_exit_code")) == (1, 0)
    assert value(found, "mdata_gaps", **BTC, status="repaired") == 1


def test_a_store_that_cannot_be_read_is_unhealthy_and_not_as_it_was(filled: Folder) -> None:
    path = filled.path / "mdata.prom"
    filled.settings["PROMETHEUS_TEXTFILE"] = str(path)
    filled.run("status", "--check", "--max-gaps", "1", SYMBOLS="BTCUSD")
    assert value(read(path), "mdata_healthy") == 1
    filled.database.write_bytes(b"no database at all" * 1000)
    assert filled.run("status", "--check").exit == 74
    found = read(path)
    assert (value(found, "mdata_healthy"), value(found, "mdata_check_exit_code")) == (0, 74)
    assert "mdata_candles" not in found


def test_the_file_is_whole_at_every_instant_and_everybody_may_read_it(filled: Folder) -> None:
    path = filled.path / "mdata.prom"
    path.write_text("old\n")
    old = os.open(path, os.O_RDONLY)
    before = os.umask(0o077)
    try:
        assert filled.run("status", "--prometheus", str(path)).exit == 0
    finally:
        os.umask(before)
    # Replaced and not written over: who had the old one open still reads all of it.
    assert os.read(old, 10) == b"old\n"
    os.close(old)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in filled.path.iterdir() if one.name.endswith(".prom")] == ["mdata.prom"]
    assert path.read_text().endswith("\n")


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    theirs, path = tmp_path / "theirs", tmp_path / "mdata.prom"
    theirs.write_text("precious")
    (tmp_path / f".mdata.prom.{os.getpid()}").symlink_to(theirs)
    path.symlink_to(theirs)
    replace_whole(path, "new\n", 0o644)
    assert theirs.read_text() == "precious"
    assert (path.read_text(), path.is_symlink()) == ("new\n", False)


def test_a_pipe_gets_nothing_but_what_is_amiss(filled: Folder) -> None:
    ended = filled.run("status", "--prometheus", "metrics.txt")
    assert (ended.exit, ended.out) == (0, "")
    assert len(ended.err.splitlines()) == 1
    assert "names end in .prom, not metrics.txt" in ended.err
    assert (filled.path / "metrics.txt").exists()


def test_what_keeps_the_file_from_being_written_is_told(filled: Folder) -> None:
    ended = filled.run("status", "--check", "--json", "--prometheus", str(filled.path / "nowhere" / "mdata.prom"))
    assert (ended.exit, ended.json["outcome"]) == (78, "failed")
    assert "nowhere for the metrics does not exist" in ended.json["reason"]
    (filled.path / "folder.prom").mkdir()
    ended = filled.run("status", "--prometheus", str(filled.path / "folder.prom"))
    assert ended.exit == 74
    assert "folder.prom" in ended.err
    assert "Traceback" not in ended.err
    assert [one.name for one in filled.path.iterdir() if "prom" in one.name] == ["folder.prom"]


def test_without_the_package_it_says_what_to_install(filled: Folder) -> None:
    code = (
        "import sys\nsys.modules['prometheus_client'] = None\n"
        "sys.argv = ['mdata', 'status', '--check', '--prometheus', 'mdata.prom']\n"
        "from mdata.cli.main import run\nrun()\n"
    )
    started = [sys.executable, "-c", code]
    finished = subprocess.run(
        started, env=filled.environ(), cwd=filled.path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 78
    assert f"`{sys.executable} -m pip install 'prometheus-client>=0.22'`" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (filled.path / "mdata.prom").exists()


def test_hostile_names_are_harmless_in_the_file(filled: Folder) -> None:
    filled.settings["SYMBOLS"] = "BTCUSD"
    filled.rows("UPDATE series SET symbol = ? WHERE id = 2", 'x"} 1\nmdata_healthy 1\n\x1b')
    path = filled.path / "mdata.prom"
    assert filled.run("status", "--prometheus", str(path)).exit == 0
    assert "\x1b" not in path.read_text()
    assert len(read(path)["mdata_healthy"]) == 1


# --- the example alerts ---


def expressions() -> list[str]:
    return re.findall(r"^\s+expr: (.+)$", ALERTS.read_text(), re.MULTILINE)


def test_the_example_alerts_ask_only_for_metrics_and_labels_that_there_are(filled: Folder) -> None:
    path = filled.path / "mdata.prom"
    filled.run("status", "--prometheus", str(path))
    found = read(path)
    asked = {name for one in expressions() for name in re.findall(r"\b(?:mdata|node)_\w+", one)}
    assert "node_textfile_mtime_seconds" in asked
    assert asked - {"node_textfile_mtime_seconds"} <= set(found)
    for name, label, wanted in re.findall(r'(mdata_\w+)\{(\w+)="([^"]+)"\}', " ".join(expressions())):
        assert wanted in {labels[label] for labels, _ in found[name]}
    for rule in re.split(r"\n\s*- alert: ", ALERTS.read_text())[1:]:
        expression = re.search(r"expr: (.+)", rule)
        assert expression
        for name in re.findall(r"mdata_\w+", expression[1]):
            told = {label for labels, _ in found[name] for label in labels} | {"instance"}
            assert set(re.findall(r"\$labels\.(\w+)", rule)) <= told


def test_the_example_alerts_are_rules_of_prometheus() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    subprocess.run([program, "check", "rules", ALERTS], check=True, capture_output=True)

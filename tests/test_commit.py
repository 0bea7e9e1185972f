"""`--version` names the commit, whatever form the checkout has."""

import subprocess
from pathlib import Path

import pytest
from checkouts import checked_out
from conftest import MDATA

from mdata import commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    ended = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return ended.stdout.strip()


def test_the_version_names_the_commit() -> None:
    ended = subprocess.run([MDATA, "--version"], capture_output=True, text=True, check=True)
    assert f"(commit {checked_out()}, SQLite" in ended.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    return folder


def test_every_form_of_a_checkout(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert commit.of_checkout(checkout) == head
    git(checkout, "worktree", "add", "--quiet", "../other", "-b", "other/branch")
    assert commit.of_checkout(tmp_path / "other") == head, "a work tree"
    git(checkout, "pack-refs", "--all")
    assert commit.of_checkout(checkout) == head, "packed"
    assert commit.of_checkout(tmp_path / "other") == head, "packed, in a work tree"
    git(checkout, "checkout", "--quiet", "--detach")
    assert commit.of_checkout(checkout) == head, "detached"


def test_what_is_no_checkout_is_unknown(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "--quiet")
    for folder in (tmp_path, tmp_path / "empty", tmp_path / "new"):
        assert commit.of_checkout(folder) is None
    monkeypatch.setattr(commit, "HERE", tmp_path / "mdata")
    monkeypatch.setattr(commit, "NOTE", tmp_path / "commit.txt")
    assert commit.commit() == "unknown"
    monkeypatch.setattr(commit, "HERE", checkout / "mdata")
    assert commit.commit() == git(checkout, "rev-parse", "HEAD")[:12]
    (tmp_path / "commit.txt").write_text("0123456789abcdef\n")
    assert commit.commit() == "0123456789ab", "what is built knows it"

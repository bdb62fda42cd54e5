"""The program installed by uv, by pip and by make, from a copy of the checkout with caches of its own environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.support.installing import CHECKOUT, build_wheel, install_locked, uv

_LEFT_OUT = (".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "build", "dist", "demo", "work")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout without anything that was built."""
    return Path(shutil.copytree(CHECKOUT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*_LEFT_OUT)))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables of a container image, and folders of uv that no other test uses."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "VIRTUAL_ENV", "STEDI_", "MAKE", "MFLAGS"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("UV_TOOL_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("UV_TOOL_BIN_DIR", str(tmp_path / "bin"))
    # Resolve to the versions that are known to work.
    monkeypatch.setenv("UV_CONSTRAINT", str(CHECKOUT / "requirements.lock"))


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def shows_the_demo(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stderr
    return "Next: stedi " in done.stdout + done.stderr


def test_uv_tool_install(checkout: Path, work: Path, tmp_path: Path) -> None:
    done = run(checkout, find_uv_bin(), "tool", "install", "--python", sys.executable, ".")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(checkout)
    assert shows_the_demo(run(work, tmp_path / "bin/stedi", "demo"))
    error = run(work, tmp_path / "bin/stedi", "train").stderr
    assert f": uv tool install 'stedi[ml] @ {checkout.as_uri()}'" in error


def test_uvx(checkout: Path) -> None:
    command = (find_uv_bin(), "tool", "run", "--python", sys.executable, "--from", ".", "stedi")
    assert shows_the_demo(run(checkout, *command, "demo"))
    assert f": uvx --from 'stedi[ml] @ {checkout.as_uri()}' stedi …" in run(checkout, *command, "train").stderr


def test_uvx_from_the_wheel(work: Path, tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    command = (find_uv_bin(), "tool", "run", "--python", sys.executable, "--from", str(wheel), "stedi", "demo")
    assert shows_the_demo(run(work, *command))


def test_pip_install(checkout: Path, work: Path, tmp_path: Path) -> None:
    assert run(tmp_path, sys.executable, "-m", "venv", "env").returncode == 0
    python = tmp_path / "env/bin/python"
    done = run(checkout, python, "-m", "pip", "install", "--quiet", ".")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(checkout)
    assert shows_the_demo(run(work, tmp_path / "env/bin/stedi", "demo"))
    error = run(work, tmp_path / "env/bin/stedi", "train").stderr
    assert f" -m pip install 'stedi[ml] @ {checkout.as_uri()}'" in error


def test_templates_from_the_wheel(work: Path, tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    install_locked(tmp_path / "env")
    uv("pip", "install", "--python", tmp_path / "env", f"stedi[aws] @ {wheel.as_uri()}")
    done = run(work, tmp_path / "env/bin/stedi", "aws", "synth", "templates")
    assert done.returncode == 0, done.stderr
    assert (work / "templates/stedi.template.json").stat().st_size > 100_000


def test_make_demo_installs_the_base_alone_and_repairs_itself(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody can write there, not even root.
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    make = ("make", f"PYTHON={sys.executable}")
    assert shows_the_demo(run(checkout, *make, "demo"))
    [packages] = checkout.glob(".venv/lib/python*/site-packages")
    assert not any((packages / name).exists() for name in ("boto3", "onnx", "pytest", "pandas", "polars"))
    assert any((packages / "pyiceberg/__pycache__").iterdir())
    assert "pip install" not in run(checkout, *make, "demo").stdout
    # An installation that was interrupted.
    (checkout / ".venv/.installed-base").rename(checkout / ".venv/.installed-base-begun")
    (packages / "pyiceberg/schema.py").unlink()
    shutil.rmtree(packages / "pyiceberg/__pycache__")
    assert shows_the_demo(run(checkout, *make, "demo"))

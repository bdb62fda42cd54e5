"""Build STEDI's wheel and install it with uv."""

import shutil
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

CHECKOUT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())


def uv(*arguments: str | Path) -> None:
    """Run uv, and fail if it fails."""
    done = subprocess.run([find_uv_bin(), "--quiet", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, and delete the copy."""
    copy = folder / "sources"
    shutil.copytree(CHECKOUT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, copy)
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder / "dist", copy)
    shutil.rmtree(copy)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


def install_locked(prefix: Path) -> None:
    """Create a virtual environment with the locked base dependencies."""
    uv("venv", "--python", sys.executable, prefix)
    lock = ("--require-hashes", "--constraints", CHECKOUT / "requirements.lock")
    uv("pip", "install", "--python", prefix, *lock, "--requirements", CHECKOUT / "pyproject.toml")

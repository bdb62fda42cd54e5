"""The command that installs an extra follows from how the program was installed."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from stedi.errors import UsageError
from stedi.installation import Installation, installation, not_installed

WHEEL = {"archive_info": {"hashes": {"sha256": "0" * 64}}, "url": "file:///a/stedi-0.1.0-py3-none-any.whl"}
FOLDER: dict[str, Any] = {"dir_info": {}, "url": "file:///a/stedi"}
GIT = {
    "url": "https://example.com/stedi.git",
    "vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "main"},
}


def installed(prefix: Path, direct_url: dict[str, Any], installer: str = "pip", *extras: str) -> Installation:
    return Installation(prefix, str(prefix / "bin/python"), direct_url, installer, frozenset(extras))


@pytest.mark.parametrize(
    ("direct_url", "requirement"),
    [
        ({}, "stedi[ml]"),
        (WHEEL, "stedi[ml] @ file:///a/stedi-0.1.0-py3-none-any.whl"),
        (FOLDER, "stedi[ml] @ file:///a/stedi"),
        (GIT, "stedi[ml] @ git+https://example.com/stedi.git@main"),
        (GIT | {"vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}, "stedi[ml] @ git+https://example.com/stedi.git@c0ffee"),
        (GIT | {"subdirectory": "py"}, "stedi[ml] @ git+https://example.com/stedi.git@main#subdirectory=py"),
    ],
)
def test_the_requirement_names_the_source(direct_url: dict[str, Any], requirement: str, tmp_path: Path) -> None:
    assert installed(tmp_path, direct_url).requirement("ml") == requirement


def test_installed_extras_are_kept(tmp_path: Path) -> None:
    assert installed(tmp_path, {}, "pip", "spark", "aws").requirement("ml") == "stedi[aws,ml,spark]"


def test_pip(tmp_path: Path) -> None:
    command = installed(tmp_path, FOLDER).command("ml", tmp_path)
    assert command == f"{tmp_path}/bin/python -m pip install 'stedi[ml] @ file:///a/stedi'"


def test_uv_pip(tmp_path: Path) -> None:
    command = installed(tmp_path, {}, "uv").command("aws", tmp_path)
    assert command == f"uv pip install --python {tmp_path}/bin/python 'stedi[aws]'"


def test_a_path_with_a_space_is_quoted(tmp_path: Path) -> None:
    command = installed(tmp_path / "my envs", {}).command("ml", tmp_path)
    assert shlex.split(command) == [f"{tmp_path}/my envs/bin/python", "-m", "pip", "install", "stedi[ml]"]


@pytest.mark.parametrize(
    ("marker", "command"),
    [
        ("env/uv-receipt.toml", "uv tool install 'stedi[ml] @ file:///a/stedi'"),
        ("env/pipx_metadata.json", "pipx install --force 'stedi[ml] @ file:///a/stedi'"),
        ("CACHEDIR.TAG", "uvx --from 'stedi[ml] @ file:///a/stedi' stedi …"),
    ],
)
def test_tool_managers(marker: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / marker).touch()
    assert installed(tmp_path / "env", FOLDER, "uv").command("ml", tmp_path) == command


def test_an_environment_of_uv_venv_is_not_one_of_uvx(tmp_path: Path) -> None:
    (tmp_path / "CACHEDIR.TAG").touch()
    assert installed(tmp_path, {}, "uv").command("ml", tmp_path).startswith("uv pip install ")


def test_a_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "my stedi"
    checkout.mkdir()
    editable = {"dir_info": {"editable": True}, "url": checkout.as_uri()}
    own, other = installed(checkout / ".venv", editable, "uv"), installed(tmp_path / "other", editable)
    assert (
        own.command("ml", checkout) == f"uv pip install --python '{checkout}/.venv/bin/python' --editable '{checkout}[ml]'"
    )
    (checkout / "Makefile").touch()
    assert own.command("ml", checkout) == "make setup"
    assert own.command("ml", tmp_path) == f"make -C '{checkout}' setup"
    assert other.command("ml", checkout) == f"{tmp_path}/other/bin/python -m pip install --editable '{checkout}[ml]'"


def test_the_running_installation_is_read() -> None:
    found = installation()
    assert found.prefix == Path(sys.prefix)
    assert found.python == sys.executable
    assert json.dumps(found.direct_url)
    assert "make" in found.command("ml", Path("/")) or "install" in found.command("ml", Path("/"))


def test_the_error_names_the_module_and_the_command() -> None:
    error = not_installed("the step detector", "ml", ModuleNotFoundError(name="onnx"))
    assert isinstance(error, UsageError)
    assert str(error) == f"the step detector is not installed (onnx): {installation().command('ml', Path.cwd())}"


def test_a_missing_system_library_is_no_missing_extra() -> None:
    error = not_installed("the step detector", "ml", OSError("libgomp.so.1: cannot open"))
    assert "can't be loaded (libgomp.so.1: cannot open); install that library" in str(error)

"""The built wheel, installed with its base dependencies alone into an empty environment, far from the checkout."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.installing import CHECKOUT, build_wheel, install_locked, uv

# Prints each file below a folder that the program opens.
WATCHED = """
import os, sys
watched = sys.argv.pop(1)
def report(event, arguments):
    if event == "open" and str(arguments[0]).startswith(watched):
        os.write(2, f"opened {arguments[0]}\\n".encode())
sys.addaudithook(report)
from stedi.__main__ import main
sys.exit(main())
"""
# Prints each imported module of the environment that has no bytecode on disk.
UNCOMPILED = """
import sys
from pathlib import Path
import stedi.cli, stedi.pipeline, stedi.simulate
for name, module in list(sys.modules.items()):
    path = getattr(module, "__file__", None) or ""
    if path.startswith(sys.prefix) and path.endswith(".py") and not Path(module.__spec__.cached).is_file():
        print(name)
"""


@dataclass
class Environment:
    """A virtual environment, and an empty folder to work in."""

    prefix: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment as a container image would."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STEDI_", "AWS_"))}
        return subprocess.run(
            [self.prefix / "bin" / program, *arguments],
            cwd=self.folder,
            env=clean | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("installed")
    wheel = build_wheel(folder)
    install_locked(folder / "env")
    uv("pip", "install", "--python", folder / "env", "--no-deps", wheel)
    (folder / "work").mkdir()
    return Environment(folder / "env", folder / "work")


def test_the_demo_uses_nothing_of_the_checkout_and_keeps_its_bytecode(environment: Environment) -> None:
    assert environment.run("stedi", "--version").stdout.strip()
    done = environment.run("python", "-c", WATCHED, str(CHECKOUT), "demo")
    assert done.returncode == 0, done.stderr
    assert "Next: stedi " in done.stdout + done.stderr
    assert "opened" not in done.stderr
    where = environment.run("python", "-c", "import stedi; print(stedi.__file__)").stdout
    assert where.startswith(str(environment.prefix))
    # These two are imported before the program can change how Python handles bytecode.
    assert set(environment.run("python", "-c", UNCOMPILED).stdout.split()) <= {"stedi", "stedi.errors"}
    places = ("--landing", "demo/landing", "--warehouse", "demo/lakehouse")
    for arguments in (("query", "SELECT * FROM customer_trusted", "--format", "csv"), ("verify",), ("models",)):
        done = environment.run("stedi", *places, *arguments)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("extra", "commands"),
    [
        ("ml", {"train": "threadpoolctl", "evaluate": "matplotlib", "detect readings.csv": "onnx"}),
        ("spark", {"run --engine spark": "pyspark"}),
        (
            "aws",
            {
                "--landing s3://bucket/landing run": "boto3",
                "--warehouse s3://bucket/lakehouse tables": "boto3",
                "aws synth": "aws_cdk",
                "aws deploy --yes": "boto3",
                "aws query rows_per_table": "boto3",
            },
        ),
    ],
)
def test_a_missing_extra_is_one_line_with_the_command(
    environment: Environment, extra: str, commands: Mapping[str, str]
) -> None:
    (environment.folder / "landing/customer").mkdir(parents=True, exist_ok=True)
    for arguments, module in commands.items():
        done = environment.run("stedi", *arguments.split())
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), arguments
        assert f"is not installed ({module}): uv pip install --python {environment.prefix}/bin/python" in done.stderr
        assert f"'stedi[{extra}] @ file://" in done.stderr

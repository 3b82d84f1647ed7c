"""The project's own files: pinned versions, the suite's devices, the shipped models."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"^([a-z0-9-]+)==([0-9][0-9a-z.]*)$")
LOCKED_EXTRAS = ("pymc", "plots", "notebooks")


@pytest.fixture(scope="module")
def project(repo_root):
    with (repo_root / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.fixture(scope="module")
def pinned_lines(repo_root):
    return (repo_root / "requirements.txt").read_text(encoding="utf-8").splitlines()


def test_requirements_are_plain_pins(pinned_lines):
    assert [line for line in pinned_lines if not PIN.match(line)] == []


def test_pins_satisfy_every_declared_dependency(project, pinned_lines):
    pins = dict(PIN.match(line).groups() for line in pinned_lines)
    extras = project["project"]["optional-dependencies"]
    declared = [
        *project["project"]["dependencies"],
        *(line for name in LOCKED_EXTRAS for line in extras[name]),
        *project["dependency-groups"]["dev"],
    ]
    stale = [line for line in declared if not satisfied(Requirement(line), pins)]
    assert stale == [], "run `make lock`"


def satisfied(requirement, pins):
    version = pins.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version)


def test_jax_has_two_cpu_devices():
    import jax

    if jax.default_backend() != "cpu":
        pytest.skip("JAX_PLATFORMS asks for another device")
    assert len(jax.devices("cpu")) == 2
    assert jax.config.jax_compilation_cache_dir


def test_console_command_and_models_are_packaged(project):
    assert project["project"]["scripts"] == {"bayes-infolaw": "bayes_infolaw.cli:main"}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["models"] == "bayes_infolaw/_models"

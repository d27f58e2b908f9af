"""What pyproject.toml, CITATION.cff and CHANGELOG.md say, against each other and the package.

That the wheel works is tried by `make wheel`.
"""

import re
from importlib import metadata

import pytest
import try_wheel
from packaging.requirements import Requirement
from packaging.version import Version
from try_wheel import PROJECT, ROOT

import nst_jax
from tools import check_release

EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"]]


def read(name):
    return (ROOT / name).read_text()


def test_the_version_is_one():
    assert PROJECT["dynamic"] == ["version"]
    assert re.search(r"^version: (.+)$", read("CITATION.cff"), re.MULTILINE)[1] == (
        nst_jax.__version__
    )
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    for heading in headings:
        assert re.fullmatch(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", heading)
    assert headings[0].split()[0] == nst_jax.__version__


@pytest.mark.parametrize(
    ("tag", "heading", "said"),
    [
        ("v0.2.0", "0.2.0 (2027-01-31)", None),
        ("v0.2.1", "0.2.0 (2027-01-31)", "expected the tag v0.2.0"),
        ("0.2.0", "0.2.0 (2027-01-31)", "expected the tag v0.2.0"),
        ("v0.2.0", "0.2.0 (unreleased)", "got `0.2.0 (unreleased)`"),
        ("v0.2.0", "0.1.0 (2026-12-01)", "got `0.1.0 (2026-12-01)`"),
    ],
)
def test_a_release_has_the_version_for_its_tag_and_a_date(tag, heading, said):
    found = check_release.problem(tag, "0.2.0", f"# Changelog\n\n## {heading}\n\n- News\n")
    assert found is None if said is None else said in found


def test_the_workflow_of_a_release_calls_what_there_is():
    workflow = read(".github/workflows/release.yml")
    assert re.findall(r"run: make (.+)", workflow) == ["lint", "test", "wheel"]
    assert "python -m tools.check_release" in workflow
    pythons = re.findall(r"^ +(3\.\d+)$", workflow, re.MULTILINE)
    assert pythons == try_wheel.supported_pythons()


def test_the_license_is_one():
    assert PROJECT["license"] == "Apache-2.0"
    assert f"\nlicense: {PROJECT['license']}\n" in read("CITATION.cff")
    assert "Apache License" in read("LICENSE")[:200]


def test_extras():
    assert {"cuda", "tpu", "torch", "safetensors", "test", "dev"} <= set(EXTRAS)
    (jax,) = (each for each in REQUIREMENTS if each.name == "jax")
    for name in ("cuda", "tpu"):
        (accelerated,) = map(Requirement, EXTRAS[name])
        assert (accelerated.name, accelerated.specifier) == ("jax", jax.specifier)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: each.name)
def test_each_dependency_has_a_lower_bound_that_is_met_here(requirement):
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    assert Version(metadata.version(requirement.name)) in requirement.specifier


def test_the_oldest_versions_are_the_lower_bounds():
    for pinned, requirement in zip(
        map(Requirement, try_wheel.oldest(PROJECT["dependencies"])), REQUIREMENTS, strict=True
    ):
        (pin,), (bound,) = pinned.specifier, requirement.specifier
        assert (pinned.name, pin.operator, pin.version) == (requirement.name, "==", bound.version)


def test_pythons():
    pythons = try_wheel.supported_pythons()
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert pythons == sorted(pythons, key=Version)


def test_each_file_of_the_package_is_in_the_wheel():
    tool = try_wheel.PYPROJECT["tool"]["setuptools"]
    folders = {path.parent for path in (ROOT / "nst_jax").rglob("__init__.py")}
    names = {".".join(path.relative_to(ROOT).parts) for path in folders}
    assert names == set(tool["packages"])
    data = {
        str(path.relative_to(ROOT))
        for name, patterns in tool["package-data"].items()
        for pattern in patterns
        for path in (ROOT / name.replace(".", "/")).glob(pattern)
    }
    files = set(try_wheel.package_files())
    assert {name for name in files if not name.endswith(".py")} == data


def test_the_design_says_why_each_dependency_is_there():
    section = read("docs/design.md").partition("## Dependencies")[2]
    used = {*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)}
    missing = {Requirement(text).name for text in used} - set(re.findall(r"[\w-]+", section))
    assert missing == {"nst_jax"}

"""Packages for a machine with a GPU and no network: fetched on a machine with a network, installed on the other.

python3 -m benchmarks.cuda_packages fetch 3.12         wheels for that Python into wheelhouse/
python3 -m benchmarks.cuda_packages install DIRECTORY  an environment of what this Python lacks of them
python3 -m benchmarks.cuda_packages extension          the native extension, carried or built, into vecparity/

Needs only Python and pip.
"""

import argparse
import hashlib
import shutil
import site
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHEELHOUSE = ROOT / "wheelhouse"
# Beside the wheel of this package, the digest of the sources that it was built from.
_SOURCES = "extension-sources.sha256"
PACKAGE = ROOT / "vecparity" / "kernels" / "cpu"
# Large packages that a machine with a GPU already has, chosen for its driver. CMake is a program there.
PRESENT = ("torch", "triton", "numpy", "scipy")
# Requirements of pyproject.toml to evaluate, to build, and for the tests that need a GPU, with their dependencies.
WHEELS = (
    *("attrs", "beartype", "cloudpickle", "cuda-bindings", "cuda-core", "cuda-pathfinder", "cyclopts"),
    *("docstring-parser", "docutils", "einops", "hypothesis", "iniconfig", "jaxtyping", "jinja2", "landlockpy"),
    *("markdown-it-py", "markupsafe", "mdurl", "msgspec", "nanobind", "ninja", "packaging", "pathspec", "platformdirs"),
    *("pluggy", "psutil", "pygments", "pytest", "pytest-timeout", "rich", "rich-rst", "safetensors"),
    *("scikit-build-core", "sortedcontainers", "typing-extensions", "wadler-lindig"),
)
TEST_PACKAGES = ("pytest", "pytest-timeout", "hypothesis", "beartype")
# Without these only an engine or the extension is missing.
OPTIONAL = ("cuda-core", "cuda-bindings", "scikit-build-core", "nanobind", "ninja")


def name_of(requirement: str) -> str:
    """Returns the package's name in a requirement, in lower case."""
    end = next((i for i, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    return requirement[:end].lower().replace("_", "-")


def requirements() -> list[str]:
    """Returns the packages in pyproject.toml to evaluate on CUDA, to build and for the tests that need a GPU."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    tests = [each for each in extras["test"] if name_of(each) in TEST_PACKAGES]
    return [*project["project"]["dependencies"], *extras["cuda"], *project["build-system"]["requires"], "ninja", *tests]


def nvrtc_directories() -> list[str]:
    """Returns the directories of NVIDIA's run-time compiler in this Python's packages."""
    return [str(library.parent) for path in sys.path for library in Path(path).glob("nvidia/*/lib/libnvrtc.so.*")]


def pip(python: str, *arguments: str) -> int:
    """Runs pip, which prints to this program's output; returns its exit status."""
    return subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *arguments], check=False).returncode


def fetch(python_version: str) -> None:
    """Downloads wheels, and builds this package's wheel if that Python version is installed here.

    Raises:
        SystemExit: pip fails.
    """
    options = ["--dest", str(WHEELHOUSE), "--no-deps", "--only-binary=:all:", "--python-version", python_version]
    if pip(sys.executable, "download", *options, *WHEELS):
        raise SystemExit(f"pip cannot fetch all wheels for Python {python_version}")
    found = shutil.which(f"python{python_version}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        print(f"python{python_version} is not here: the native extension will need a C++ compiler and CMake there")
    elif pip(found, "wheel", "--no-deps", "--wheel-dir", str(WHEELHOUSE), str(ROOT)):
        raise SystemExit(f"pip cannot build vecparity's wheel for Python {python_version}")
    else:
        (WHEELHOUSE / _SOURCES).write_text(digest_of_sources())


def install(directory: Path) -> None:
    """Makes a virtual environment that sees this Python's packages, and installs the missing packages.

    Contained strategies see only directories named site-packages, so the environment's directories have that name.

    Raises:
        SystemExit: A required package is missing.
    """
    venv.create(directory, symlinks=True, with_pip=False)
    python = str(directory / "bin" / "python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    # Packages that install themselves by a .pth file must do so only from Python's own directories, not a second time.
    own_directories = [path for path in site.getsitepackages() if Path(path).is_dir()]
    others = [path for path in sys.path if path.endswith("-packages") and path not in own_directories]
    lines = [*(f"import site; site.addsitedir({path!r})" for path in own_directories), *others]
    (own / "packages.pth").write_text("\n".join(lines) + "\n")

    wheels = ["--no-index", "--find-links", str(WHEELHOUSE)] if WHEELHOUSE.is_dir() else ["--no-index"]
    options = ["install", "--quiet", *wheels]
    wanted = requirements()
    present = [each for each in wanted if name_of(each) in PRESENT]
    optional = [each for each in wanted if name_of(each) in OPTIONAL]
    needed = [each for each in wanted if each not in (*present, *optional)]
    # The machine already has the dependencies of the large packages.
    missing = [each for each in present if pip(python, *options, "--no-deps", each)]
    if pip(python, *options, *needed):
        missing += [each for each in needed if pip(python, *options, each)]
    if pip(python, *options, *optional):
        print("without " + ", ".join(each for each in optional if pip(python, *options, each)))
    if missing:
        raise SystemExit(f"neither installed nor in wheelhouse/: {', '.join(missing)}")


def install_extension(package: Path) -> None:
    """Puts the native extension into the package's directory, unless this Python already has one.

    Takes it from a wheel of this package in wheelhouse/, which saves half a minute; otherwise builds it here.

    Raises:
        SystemExit: Neither is possible.
    """
    if package == PACKAGE and extension_loads():
        print("the native extension is installed already")
        return
    kept = WHEELHOUSE / _SOURCES
    is_current = kept.is_file() and kept.read_text() == digest_of_sources()
    for wheel in WHEELHOUSE.glob("vecparity-*.whl"):
        if not is_current:
            print(f"{wheel.name} is of other sources than these")
        elif extract(wheel, package):
            # A carried extension may need another C++ library than this machine's.
            if package != PACKAGE or extension_loads():
                print(f"the native extension of {wheel.name} is in {package}")
                return
            print(f"the native extension of {wheel.name} does not load here")
    with tempfile.TemporaryDirectory() as built:
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", built]
        pip(sys.executable, "wheel", *options, str(ROOT))
        for wheel in Path(built).glob("*.whl"):
            if extract(wheel, package):
                print(f"the native extension, built here, is in {package}")
                return
    raise SystemExit("no native extension: it needs a C++ compiler, CMake, scikit-build-core and nanobind, or a wheel")


def digest_of_sources() -> str:
    """Returns the digest of the native extension's sources."""
    paths = sorted(path for path in PACKAGE.iterdir() if path.suffix in (".cpp", ".h", ".txt"))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in paths)).hexdigest()


def extension_loads() -> bool:
    """Tells whether this Python can load the native extension."""
    code = "from vecparity.kernels.cpu import native; raise SystemExit(not native.is_available())"
    return not subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode


def extract(wheel: Path, package: Path) -> bool:
    """Extracts the extension for this Python from a wheel, if the wheel has one."""
    with zipfile.ZipFile(wheel) as archive:
        for suffix in EXTENSION_SUFFIXES:
            name = f"vecparity/kernels/cpu/_native{suffix}"
            if name in archive.namelist():
                (package / f"_native{suffix}").write_bytes(archive.read(name))
                return True
    return False


def extensions(package: Path = PACKAGE) -> set[Path]:
    """Returns the native extensions in the package's directory."""
    return set(package.glob("_native*.so"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch").add_argument("python_version")
    commands.add_parser("install").add_argument("directory", type=Path)
    commands.add_parser("extension")
    chosen = parser.parse_args()
    if chosen.command == "fetch":
        fetch(chosen.python_version)
    elif chosen.command == "install":
        install(chosen.directory)
    else:
        install_extension(PACKAGE)


if __name__ == "__main__":
    main()

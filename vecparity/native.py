"""The extension module that is built from ``kernel/`` when the package is installed, if there is a C++ compiler."""

from types import ModuleType

from vecparity.errors import UsageError

try:
    from vecparity import _native
except ImportError:
    _native = None  # type: ignore[assignment]

HOW_TO_BUILD = (
    "the native engine was not built when vecparity was installed: install a C++ compiler (g++ 11 or clang 14, or "
    "newer), then vecparity again (pip install --force-reinstall --no-deps)"
)


def is_available() -> bool:
    """Whether the extension was built."""
    return _native is not None


def extension() -> ModuleType:
    """Returns the extension.

    Raises:
        UsageError: It was not built.
    """
    if _native is None:
        raise UsageError(HOW_TO_BUILD)
    return _native


def levels() -> list[str]:
    """The instruction sets that the kernel can use on this machine, best first.

    Raises:
        UsageError: The extension was not built.
    """
    return list(extension().levels())

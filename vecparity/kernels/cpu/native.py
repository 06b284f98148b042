"""The extension module, built from the C++ in this directory at installation if a compiler is available."""

from types import ModuleType

from vecparity.errors import UsageError

_native: ModuleType | None
try:
    import vecparity.kernels.cpu._native as _built

    _native, PROBLEM = _built, ""
except ModuleNotFoundError:
    _native = None
    PROBLEM = (
        "was not built when vecparity was installed: install a C++ compiler (g++ 11 or clang 14, or "
        "newer), then vecparity again (in its directory: pip install --force-reinstall --no-deps -e .)"
    )
except ImportError as error:
    _native, PROBLEM = None, f"was built but cannot be loaded: {error}"


def is_available() -> bool:
    """Tells whether the extension was built and loaded."""
    return _native is not None


def extension() -> ModuleType:
    """Returns the extension.

    Raises:
        UsageError: The extension was not built, or cannot be loaded.
    """
    if _native is None:
        raise UsageError(f"the native engine {PROBLEM}")
    return _native


def levels() -> list[str]:
    """Returns the instruction sets that the kernel can use on this machine, best first.

    Raises:
        UsageError: The extension was not built, or cannot be loaded.
    """
    return list(extension().levels())

"""Keys of sealed evaluations, kept in the user's data directory."""

from vecparity.cli.messages import say
from vecparity.files import make_writable
from vecparity.task.seeds import kept_key, key_digest, write_key


def require_place_of_keys() -> None:
    """Checks that keys can be kept.

    Raises:
        MachineError: The directory cannot be written.
    """
    make_writable(kept_key("").parent, "the directory of keys")


def keep_key(key: bytes) -> None:
    """Writes a new key, and says where it is.

    Raises:
        MachineError: The key cannot be written.
    """
    require_place_of_keys()
    path = kept_key(key_digest(key))
    write_key(path, key)
    say(f"the key is in {path} (--seal-key repeats evaluations under it)")

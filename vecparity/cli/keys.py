"""Keys of sealed evaluations, kept in the user's data directory."""

from vecparity.cli.messages import say
from vecparity.files import make_writable
from vecparity.task.seeds import kept_key, key_digest, write_key


def keep_key(key: bytes) -> None:
    """Writes a new key, and says where it is.

    Raises:
        MachineError: The key cannot be written.
    """
    path = kept_key(key_digest(key))
    make_writable(path.parent, "the directory of keys")
    write_key(path, key)
    say(f"the key is in {path} (--seal-key repeats evaluations under it)")

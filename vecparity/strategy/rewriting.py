"""New defaults in a strategy's source: the file that an author would have written with these numbers."""

import ast
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from tokenize import detect_encoding

from vecparity.errors import UsageError, describe
from vecparity.strategy.parameters import Value, literal, resolve, signatures
from vecparity.strategy.source import Origin, Strategy

# Lines as Python's tokenizer divides them: not at form feeds, as `str.splitlines` does.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")


def with_defaults(strategy: Strategy, values: Mapping[str, Value]) -> Strategy:
    """Writes values into a strategy's signatures as the parameters' defaults, in each function that takes them.

    Everything else stays as it is, byte for byte: comments, annotations, line ends, the encoding; so does a default
    that has the value already.

    Args:
        strategy: The strategy.
        values: New defaults of some or all of its parameters, by name.

    Returns:
        The strategy of the new source, under the same name.

    Raises:
        UsageError: The strategy has no source or one that does not parse, has no such parameter, or a value cannot be
            a parameter's.
    """
    if strategy.origin == "pickle":
        raise UsageError(
            f"{strategy.path}: expected a source to write new defaults into, got pickled functions: "
            "define them in a file or in a notebook's cells"
        )
    tree = _parsed(strategy)
    resolve(strategy, values)
    replaced = [(default, values[name]) for name, default in _defaults(tree) if name in values]
    changes = [(default, value) for default, value in replaced if not _is(literal(default), value)]
    origin: Origin = "functions" if strategy.origin == "functions" else "text"
    rewritten = Strategy(strategy.name, f"{strategy.name}.py", _spliced(strategy, changes), origin)
    _require_no_other_change(tree, rewritten, values)
    return rewritten


def _parsed(strategy: Strategy) -> ast.Module:
    try:
        return ast.parse(strategy.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{strategy.path}: expected a source that parses, got {describe(error)}") from error


def _defaults(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yields each parameter's name and default, function by function."""
    for arguments in signatures(tree).values():
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if default is not None:
                yield argument.arg, default


def _is(default: Value | None, value: Value) -> bool:
    return repr(default) == repr(value)  # 1, 1.0 and True are equal, and so are 0.0 and -0.0


def _spliced(strategy: Strategy, changes: list[tuple[ast.expr, Value]]) -> bytes:
    """Replaces expressions, whose places are those that `ast` gives: lines, and bytes of their UTF-8."""
    encoding, _ = detect_encoding(BytesIO(strategy.source).readline)  # utf-8-sig, if it begins with a byte order mark
    text = strategy.source.decode(encoding)
    if text.encode(encoding) != strategy.source:
        raise UsageError(
            f"{strategy.path}: expected an encoding that gives the same bytes again, got {encoding}; save it as UTF-8"
        )
    lines = [line.encode() for line in _LINE.findall(text)]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    whole = b"".join(lines)
    for default, value in sorted(changes, key=lambda change: (change[0].lineno, change[0].col_offset), reverse=True):
        assert default.end_lineno is not None and default.end_col_offset is not None
        begin = starts[default.lineno - 1] + default.col_offset
        end = starts[default.end_lineno - 1] + default.end_col_offset
        whole = whole[:begin] + _written(value, encoding).encode() + whole[end:]
    return whole.decode().encode(encoding)


def _written(value: Value, encoding: str) -> str:
    """Returns a value as Python writes it, with escapes for what the encoding lacks."""
    try:
        repr(value).encode(encoding)
    except UnicodeEncodeError:
        return ascii(value)
    return repr(value)


def _require_no_other_change(tree: ast.Module, rewritten: Strategy, values: Mapping[str, Value]) -> None:
    """Parses the new source and checks that its defaults are the values, and the rest is that of the old tree."""
    new = _parsed(rewritten)
    is_as_given = all(_is(literal(default), values[name]) for name, default in _defaults(new) if name in values)
    for each in (tree, new):
        for arguments in signatures(each).values():
            for index, argument in enumerate(arguments.kwonlyargs):
                if argument.arg in values and arguments.kw_defaults[index] is not None:
                    arguments.kw_defaults[index] = ast.Constant(None)
    try:
        is_the_same = ast.dump(tree) == ast.dump(new)
    except RecursionError as error:
        raise UsageError(f"{rewritten.path}: expected a source that nests less, got {describe(error)}") from error
    if not (is_as_given and is_the_same):
        raise UsageError(
            f"{rewritten.path}: expected a source that differs in these defaults alone once they are written into it, "
            "got another: save it as UTF-8"
        )

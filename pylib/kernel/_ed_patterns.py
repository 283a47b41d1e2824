"""Regular expressions and replacements as `ed` has them, by means of Python's.

They are POSIX basic ones with GNU's additions; where two alternatives of `\\|` match at the same place,
the first is taken and not the longest.
"""

import re
from typing import Final


class EdError(Exception):
    """What is wrong with a command; `ed` shows `?`, and the text if it is asked for."""


def bracket_end(text: str, start: int) -> int | None:
    """Returns where the bracket expression that begins at `start` ends, or None if it does not."""
    at = start + 1
    if text[at : at + 1] == "^":
        at += 1
    if text[at : at + 1] == "]":
        at += 1
    while at < len(text):
        if text[at] == "[" and text[at + 1 : at + 2] in (":", ".", "="):
            closing = text.find(text[at + 1] + "]", at + 2)
            if closing < 0:
                return None
            at = closing + 2
            continue
        if text[at] == "]":
            return at + 1
        at += 1
    return None


_CLASSES: Final = {
    "alpha": "^\\W\\d_", "digit": "0-9", "alnum": "^\\W_", "upper": "A-Z", "lower": "a-z", "space": "\\s",
    "blank": " \\t", "punct": "!-/:-@\\[-`{-~", "print": " -~", "graph": "!-~", "cntrl": "\\x00-\\x1f\\x7f",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_ASCII_CLASSES: Final = {"alpha": "A-Za-z", "alnum": "A-Za-z0-9"}


def _translate_bracket(text: str) -> str:
    """Returns Python's form of a bracket expression, in which a backslash is a plain character."""
    body = text[1:-1]
    is_negative = body.startswith("^")
    if is_negative:
        body = body[1:]
    result, at = "", 0
    while at < len(body):
        kind = re.match(r"\[:([a-z]+):\]|\[[.=](.)[.=]\]", body[at:])
        if kind and kind[1]:
            if kind[1] not in _CLASSES:
                raise EdError("Invalid character class name")
            result += _ASCII_CLASSES.get(kind[1], _CLASSES[kind[1]])
            at += kind.end()
        elif kind:
            result += re.escape(kind[2])
            at += kind.end()
        else:
            # A hyphen between two characters makes a range in both languages.
            is_range = body[at] == "-" and 0 < at < len(body) - 1
            result += "-" if is_range else re.escape(body[at])
            at += 1
    return f"[{'^' if is_negative else ''}{result}]"


def translate(expression: str) -> str:
    """Returns Python's form of a POSIX basic regular expression with GNU's additions.

    Raises `EdError` for brackets or braces that are not closed and classes that do not exist.
    """
    result = ""
    at = 0
    # Whether an expression begins here: `*` is a plain character then, and `^` an anchor.
    is_start = True
    while at < len(expression):
        char = expression[at]
        at += 1
        was_start, is_start = is_start, False
        if char == "\\":
            escaped = expression[at : at + 1]
            at += 1
            if escaped == "":
                raise EdError("Trailing backslash (\\)")
            if escaped == "{":
                bounds, closing, _ = expression[at:].partition("\\}")
                if not closing:
                    raise EdError("Unmatched \\{")
                if not re.fullmatch(r"\d+(,\d*)?|,\d+", bounds):
                    raise EdError("Invalid content of \\{\\}")
                result += "{" + bounds + "}"
                at += len(bounds) + 2
            elif escaped in "()|":
                result += escaped
                is_start = escaped != ")"
            elif escaped in "+?":
                result += re.escape(escaped) if was_start else escaped
            elif escaped in "<>":
                result += r"\b(?=\w)" if escaped == "<" else r"\b(?<=\w)"
            elif escaped in "bBwWsS" or escaped in "123456789":
                result += "\\" + escaped
            elif escaped in "`'":
                result += r"\A" if escaped == "`" else r"\Z"
            elif escaped == "n":
                result += "\\n"
            else:
                result += re.escape(escaped)
        elif char == "[":
            end = bracket_end(expression, at - 1)
            if end is None:
                raise EdError("Unbalanced brackets ([])")
            result += _translate_bracket(expression[at - 1 : end])
            at = end
        elif char == "*":
            result += "\\*" if was_start else "*"
        elif char == "^" and was_start:
            result += "^"
            is_start = True
        elif char == "$" and (at == len(expression) or expression.startswith(("\\)", "\\|"), at)):
            result += r"\Z"
        elif char == ".":
            result += "."
        else:
            result += re.escape(char)
    return result


def compile_pattern(expression: str, ignores_case: bool) -> re.Pattern[str]:
    """Compiles what `translate` makes of an expression; raises `EdError` if it is none."""
    try:
        return re.compile(translate(expression), re.IGNORECASE if ignores_case else 0)
    except re.error as error:
        raise EdError(f"Invalid regular expression: {error.msg}") from None


def replace(pattern: re.Pattern[str], template: str, text: str, nth: int, is_every: bool) -> str | None:
    """Returns a line with the `nth` match, or it and all after it, replaced; None if there is none."""
    result, at, count, position = "", 0, 0, 0
    previous_end = -1
    while position <= len(text) and (match := pattern.search(text, position)):
        if match.start() == match.end() == previous_end:
            # An empty match right after a match is none.
            position += 1
            continue
        count += 1
        if count >= nth:
            result += text[at : match.start()] + _expand(template, match)
            at = match.end()
            if not is_every:
                break
        previous_end = match.end()
        # Past an empty match, or it would be found for ever.
        position = match.end() + (match.end() == match.start())
    if count < nth:
        return None
    return result + text[at:]


def _expand(template: str, match: re.Match[str]) -> str:
    """Returns the text for one match: `&` is all of it, `\\1` a group, a backslash makes others plain."""
    result, at = "", 0
    while at < len(template):
        char = template[at]
        at += 1
        if char == "&":
            result += match[0]
        elif char == "\\" and at < len(template):
            escaped = template[at]
            at += 1
            if escaped in "123456789":
                number = int(escaped)
                # Without such a group it is a plain digit.
                result += (match[number] or "") if number <= match.re.groups else escaped
            else:
                result += escaped
        else:
            result += char
    return result

"""Constants that CPUs can share.

The free-threaded build counts references to an object of two threads by atomic additions, which CPUs make in turn:
threads that run one function with 0xFFFFFF or 0.5 in its loop slow each other down. CPython makes constants
immortal, which nobody counts, when it runs a program or reads a `.pyc` file, but not for `compile()`, whose callers
may compile without end (gh-130851, `Objects/codeobject.c: intern_constants`).
"""

import marshal
from types import CodeType
from typing import cast


def share_constants(code: CodeType) -> CodeType:
    """Returns code with immortal constants in its functions and classes, if it has any: those run often.

    What has none runs once as a rule and is returned as it is; a prompt's lines would leave a constant each behind.
    """
    if not any(isinstance(constant, CodeType) for constant in code.co_consts):
        return code
    return cast(CodeType, marshal.loads(marshal.dumps(code)))

"""What is wrong with a formula, and where."""

from __future__ import annotations

import msgspec


class FormulaProblem(msgspec.Struct, frozen=True):
    """One thing wrong with a formula; line and column are 1-based, the column in characters."""

    message: str
    line: int
    column: int

    def in_words(self) -> str:
        """The problem on one line, with its place."""
        return f"line {self.line}, column {self.column}: {self.message}"


class FormulaRefusal(Exception):
    """A formula cannot be read on; carries what is wrong and the offset in its text."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message, at)
        self.message = message
        self.at = at


def problem_at(text: str, at: int, message: str) -> FormulaProblem:
    """The problem with its place in the text; `at` counts characters from 0."""
    line = text.count("\n", 0, at) + 1
    return FormulaProblem(message, line, at - text.rfind("\n", 0, at))

"""A formula's tree to closures.

Rules of this module:

1.  Everything that can be wrong with a formula is found here; what compiles can be evaluated on any
    environment, never raises, evaluates each part at most once and ends.
2.  A bare name is read from the namespace `offer`, `now` from `time.now_ms`, a field as conditions read it.
    A namespace that an environment does not have holds nothing.
3.  A list that is read is null, but `len` of a name or field counts its members.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from difflib import get_close_matches

from app.decision.conditions import Environment, Reader, field_reader
from app.decision.formula.functions import FUNCTIONS, choice
from app.decision.formula.operations import OPERATIONS, Operation, negative
from app.decision.formula.problems import FormulaProblem, problem_at
from app.decision.formula.syntax import (
    Call,
    Chain,
    Choice,
    Comparison,
    Field,
    Literal,
    Logic,
    Name,
    Node,
    Now,
    Unary,
)
from app.decision.formula.values import Evaluate, Value, read_value

#: More would help nobody, and looking for what was meant takes a while.
PROBLEMS_MAX = 20


class Compiler:
    """Compiles one tree; afterwards it knows what the formula reads and what is wrong with it."""

    def __init__(self, text: str, names: Collection[str] | None, namespaces: Collection[str]) -> None:
        self._text = text
        self._allowed = names
        self._namespaces = namespaces
        self.names: set[str] = set()
        self.fields: set[str] = set()
        self.problems: list[FormulaProblem] = []

    def compiled(self, node: Node) -> Evaluate:
        """The node as a function of an environment."""
        if isinstance(node, Literal):
            value = node.value
            return lambda environment: value
        if isinstance(node, Name | Field | Now):
            read = self._reader(node)
            return lambda environment: read_value(read(environment))
        if isinstance(node, Chain):
            return _chain(
                self.compiled(node.first),
                [(OPERATIONS[sign], self.compiled(part)) for sign, part in node.rest],
            )
        if isinstance(node, Comparison):
            return _binary(OPERATIONS[node.sign], self.compiled(node.left), self.compiled(node.right))
        if isinstance(node, Logic):
            return _logic(node.sign == "&&", tuple(map(self.compiled, node.parts)))
        if isinstance(node, Unary):
            operand = self.compiled(node.operand)
            if node.sign == "!":
                return lambda environment: not operand(environment)
            return lambda environment: negative(operand(environment))
        if isinstance(node, Choice):
            return choice(self.compiled(node.test), self.compiled(node.then), self.compiled(node.otherwise))
        return self._call(node)

    def _call(self, node: Call) -> Evaluate:
        function = FUNCTIONS.get(node.function)
        if function is None:
            self._refuse(node.at, f"there is no function {node.function}", FUNCTIONS, node.function)
            # The arguments' problems are worth knowing too.
            for argument in node.arguments:
                self.compiled(argument)
            return _nothing
        count = len(node.arguments)
        if count < function.least or (function.most is not None and count > function.most):
            wanted = _counted(function.least, function.most)
            self._refuse(node.at, f"{node.function} takes {wanted}, not {count}")
        compile_one = self._countable if node.function == "len" else self.compiled
        arguments = tuple([compile_one(argument) for argument in node.arguments])
        return _nothing if self.problems else function.make(arguments)

    def _countable(self, node: Node) -> Callable[[Environment], object]:
        """What `len` counts: a name or field is read as it is, lists too."""
        return self._reader(node) if isinstance(node, Name | Field) else self.compiled(node)

    def _reader(self, node: Name | Field | Now) -> Reader:
        if isinstance(node, Now):
            return _reader("time", "now_ms")
        if isinstance(node, Name):
            self._check_name(node)
            self.names.add(node.name)
            return _reader("offer", node.name)
        if node.namespace not in self._namespaces:
            starts = ", ".join(f"{namespace}.*" for namespace in sorted(self._namespaces))
            known = f"there is no namespace {node.namespace}; fields are: {starts}"
            self._refuse(node.at, known, self._namespaces, node.namespace)
        self.fields.add(f"{node.namespace}.{node.name}")
        return _path_reader(node.namespace, f"{node.namespace}.{node.name}")

    def _check_name(self, node: Name) -> None:
        if self._allowed is not None and node.name in self._allowed:
            return
        if node.name in self._namespaces:
            self._refuse(node.at, f"{node.name} is a namespace; write {node.name}.<name>")
        elif self._allowed is not None:
            self._refuse(node.at, f"there is no custom field {node.name}", self._allowed, node.name)

    def _refuse(self, at: int, message: str, known: Collection[str] = (), wrong: str = "") -> None:
        if len(self.problems) == PROBLEMS_MAX:
            return
        near = get_close_matches(wrong, known, n=1) if len(wrong) <= 128 else []
        suggestion = f"; did you mean {near[0]}?" if near else ""
        self.problems.append(problem_at(self._text, at, message + suggestion))


def _counted(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} argument"
    if least == most:
        return "1 argument" if least == 1 else f"{least} arguments"
    return f"{least} or {most} arguments"


def _nothing(environment: Environment) -> Value:
    return None


def _reader(namespace: str, name: str) -> Reader:
    def read(environment: Environment) -> object:
        fields = environment.get(namespace)
        return None if fields is None else fields.get(name)

    return read


def _path_reader(namespace: str, field: str) -> Reader:
    _, _, name = field.partition(".")
    if "." not in name:
        return _reader(namespace, name)
    read = field_reader(field)
    return lambda environment: read(environment) if namespace in environment else None


def _binary(operation: Operation, left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda environment: operation(left(environment), right(environment))


def _chain(first: Evaluate, rest: list[tuple[Operation, Evaluate]]) -> Evaluate:
    if len(rest) == 1:
        return _binary(rest[0][0], first, rest[0][1])
    steps = tuple(rest)

    def chain(environment: Environment) -> Value:
        value = first(environment)
        for operation, part in steps:
            value = operation(value, part(environment))
        return value

    return chain


def _logic(every: bool, parts: tuple[Evaluate, ...]) -> Evaluate:
    """Whether every part, or any, is truthy; those after the one that decides are not evaluated."""

    def logic(environment: Environment) -> Value:
        for part in parts:
            if bool(part(environment)) is not every:
                return not every
        return every

    return logic

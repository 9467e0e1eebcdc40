"""What is wrong with a formula is said in words, at its line and column."""

from __future__ import annotations

import pytest

from app.decision.formula import Formula, FormulaProblem, compile_formula
from tests.decision.formula.building import compiled, refused


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the formula is empty"),
        (" \n\t ", 1, 1, "the formula is empty"),
        (None, 1, 1, "the formula must be text"),
        (12, 1, 1, "the formula must be text"),
        ("1" + " " * 2_000, 1, 2_001, "the formula is longer than 2,000 characters"),
        ("'\ud800'", 1, 2, "the formula is not valid Unicode text"),
        ("1 +", 1, 4, "expected a value, but the formula ends here"),
        ("1 + * 2", 1, 5, "expected a value, but found *"),
        ("1 2", 1, 3, "expected an operator, but found 2"),
        ("2x", 1, 2, "expected an operator, but found x"),
        ("a\n  b", 2, 3, "expected an operator, but found b"),
        ("a\r\n+\r\n", 3, 1, "expected a value, but the formula ends here"),
        ("(1 + 2", 1, 7, "expected ) to close the parenthesis, but the formula ends here"),
        ("max(1 2)", 1, 7, "expected ) to close the arguments, but found 2"),
        ("max(1,)", 1, 7, "expected a value, but found )"),
        ("now(1)", 1, 5, "expected ) since now has no arguments, but found 1"),
        ("true(1)", 1, 5, "expected an operator, but found ("),
        ("a ? 1", 1, 6, "expected : between the two choices, but the formula ends here"),
        ("a = 1", 1, 3, "= is not an operator; write == to compare"),
        ("a & b", 1, 3, "& is not an operator; write && for and"),
        ("a | b", 1, 3, "| is not an operator; write || for or"),
        ("1 < a < 3", 1, 7, "comparisons cannot be chained; join them with &&"),
        ("1 == a != 3", 1, 8, "comparisons cannot be chained; join them with &&"),
        (".5", 1, 1, "a dot stands only inside a number (0.5) or a path (customer.age)"),
        ("1.", 1, 2, "a dot stands only inside a number (0.5) or a path (customer.age)"),
        ("customer.", 1, 9, "a dot stands only inside a number (0.5) or a path (customer.age)"),
        ("customer .age", 1, 10, "a dot stands only inside a number (0.5) or a path (customer.age)"),
        ("'it's'", 1, 6, "the text that begins here has no end; close it with ' on the same line"),
        ('"a\nb"', 1, 1, 'the text that begins here has no end; close it with " on the same line'),
        ("`a", 1, 1, "the name that begins here has no end; close it with ` on the same line"),
        (r"'a\q'", 1, 3, r"\q means nothing in text; the escapes are \\ \" \' \n \t"),
        ("größe", 1, 3,
         "ö is not part of a formula; other names than A-Z a-z 0-9 _ stand between backquotes"),
        ("a \x00", 1, 3, "the character U+0000 is not part of a formula"),
        ("9223372036854775808", 1, 1, "the number is larger than 9223372036854775807"),
        ("1" * 1_999, 1, 1, "the number is larger than 9223372036854775807"),
        ("2 + 1e309", 1, 5, "the number is larger than 1.7e308"),
        ("customer", 1, 1, "customer is a namespace; write customer.<name>"),
        ("eval('1')", 1, 1, "there is no function eval"),
        ("`max`(1)", 1, 6, "expected an operator, but found ("),
        ("rond(1)", 1, 1, "there is no function rond; did you mean round?"),
        ("1 + round()", 1, 5, "round takes 1 or 2 arguments, not 0"),
        ("len(a, b)", 1, 1, "len takes 1 argument, not 2"),
        ("if(a)", 1, 1, "if takes 2 or 3 arguments, not 1"),
        ("days_between(1)", 1, 1, "days_between takes 2 arguments, not 1"),
        ("max()", 1, 1, "max takes at least 1 argument, not 0"),
        ("1 +\n custmer.age", 2, 2,
         "there is no namespace custmer; fields are: attributes.*, context.*, customer.*, metrics.*; "
         "did you mean customer?"),
    ],
)  # fmt: skip
def test_a_bad_formula_is_refused_at_its_place(text: object, line: int, column: int, message: str) -> None:
    assert refused(text) == [FormulaProblem(message, line, column)]


def test_all_unknown_names_come_at_once_in_the_order_of_the_text() -> None:
    assert refused("fes + max(fee, now,\n  gone) + mx(other) + offer.fee", "fee", "apr") == [
        FormulaProblem("there is no custom field fes; did you mean fee?", 1, 1),
        FormulaProblem("there is no custom field gone", 2, 3),
        FormulaProblem("there is no function mx; did you mean max?", 2, 11),
        FormulaProblem("there is no custom field other", 2, 14),
        FormulaProblem(
            "there is no namespace offer; fields are: attributes.*, context.*, customer.*, metrics.*", 2, 23
        ),
    ]
    assert len(refused(" + ".join(f"x{i}" for i in range(300)), "fee")) == 20


def test_a_problem_in_words_names_its_place() -> None:
    assert refused("1 +\n+")[0].in_words() == "line 2, column 1: expected a value, but found +"


@pytest.mark.parametrize(
    ("text", "names", "fields"),
    [
        ("1 + now", set(), set()),
        ("apr + `annual-fee` + apr", {"apr", "annual-fee"}, set()),
        ("max(min, max)", {"min", "max"}, set()),
        ("`now` + `true`", {"now", "true"}, set()),
        ("`customer.age`", {"customer.age"}, set()),
        ("false && customer.`a.b`.c || metrics.7d", set(), {"customer.a.b.c", "metrics.7d"}),
        ("len(tags) + len(customer.tags)", {"tags"}, {"customer.tags"}),
    ],
)
def test_a_formula_knows_what_it_reads(text: str, names: set[str], fields: set[str]) -> None:
    formula = compiled(text)
    assert (set(formula.names), set(formula.fields)) == (names, fields)


def test_names_and_namespaces_are_those_allowed() -> None:
    assert isinstance(compile_formula("a + customer", {"a", "customer"}), Formula)
    assert isinstance(compile_formula("a", set()), list)
    assert isinstance(compile_formula("event.x + 1", None, {"event"}), Formula)
    assert isinstance(compile_formula("customer.x", None, {"event"}), list)

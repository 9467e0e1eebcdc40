"""LightGBM's text format (`Booster.save_model`), read, checked and written anew.

Rules of this module:

1.  LightGBM ends the process on most broken files, so it never sees what was given: what was understood is
    written anew, with numbers that were numbers and trees that are trees. What is not needed to predict is
    left out.
2.  Known are single-output models (binary, cross_entropy, regression) with numeric and categorical splits.
    Linear trees and several classes are refused.
3.  `Booster.dump_model`'s JSON is no file that LightGBM can load; it is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from app.decision.learning.tree_shape import NODES_MAX, TREES_MAX, BrokenTree, require, walk

_OBJECTIVE = re.compile(r"regression|cross_entropy|binary sigmoid:(\d{1,6}(\.\d{1,17})?)")
_INTEGER = re.compile(r"-?\d{1,10}")
_CATEGORICAL = 1
_DECISIONS = 16
N = TypeVar("N", int, float)


def canonical(text: str, features: int) -> str:
    """The model as LightGBM would save it, reduced to what predicting needs.

    Args:
        text: The model file.
        features: How many features the rows will have.

    Raises:
        BrokenTree: it is none, or one that is not supported.
    """
    require(
        text.startswith("tree\n"), "must begin with the line `tree`: LightGBM's text format, save_model()"
    )
    parts = re.split(r"^Tree=\d+$", text.partition("\nend of trees")[0], flags=re.MULTILINE)
    require(1 < len(parts) <= TREES_MAX + 1, f"must hold 1 to {TREES_MAX} trees")
    trees = []
    for i, part in enumerate(parts[1:]):
        try:
            trees.append(f"Tree={i}\n" + "\n".join(_tree(_pairs(part), features)) + "\n\n\n")
        except BrokenTree as broken:
            raise BrokenTree(f"tree {i}: {broken}") from None
    head = [*_head(parts[0], features), f"tree_sizes={' '.join(str(len(tree)) for tree in trees)}"]
    return "\n".join(head) + "\n\n" + "".join(trees) + "end of trees\n"


def _head(text: str, features: int) -> Iterator[str]:
    pairs = _pairs(text)
    objective = pairs.get("objective", "")
    require(pairs.get("version") in ("v3", "v4"), "must be of version v3 or v4")
    require(pairs.get("num_class") == "1", "must have one class (num_class=1)")
    require(pairs.get("num_tree_per_iteration") == "1", "must have one tree per iteration")
    require(
        _OBJECTIVE.fullmatch(objective) is not None,
        "its objective must be binary, cross_entropy or regression",
    )
    require(
        pairs.get("max_feature_idx") == str(features - 1),
        f"must be trained on {features} features, as listed",
    )
    yield from (
        "tree",
        f"version={pairs['version']}",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
    )
    yield f"max_feature_idx={features - 1}"
    yield f"objective={objective}"
    if "average_output" in text.splitlines():
        yield "average_output"
    yield "feature_names=" + " ".join(f"f{i}" for i in range(features))
    yield "feature_infos=" + " ".join(["[-1:1]"] * features)


def _tree(pairs: dict[str, str], features: int) -> Iterator[str]:
    require(pairs.get("is_linear", "0") == "0", "linear trees are not supported")
    leaves, cats = _one(pairs, "num_leaves"), _one(pairs, "num_cat")
    require(1 <= leaves <= NODES_MAX, "num_leaves is out of range")
    values = _numbers(pairs, "leaf_value", leaves, _real)
    yield f"num_leaves={leaves}"
    yield f"num_cat={cats}"
    if leaves > 1:
        yield from _splits(pairs, leaves - 1, cats, features)
    else:
        require(cats == 0, "a tree without splits has no categories")
    yield f"leaf_value={_joined(values)}"
    yield "is_linear=0"
    yield "shrinkage=1"


def _splits(pairs: dict[str, str], splits: int, cats: int, features: int) -> Iterator[str]:
    feature = _numbers(pairs, "split_feature", splits, _integer)
    threshold = _numbers(pairs, "threshold", splits, _real)
    decision = _numbers(pairs, "decision_type", splits, _integer)
    left = _numbers(pairs, "left_child", splits, _integer)
    right = _numbers(pairs, "right_child", splits, _integer)
    require(all(0 <= each < features for each in feature), "split_feature names a feature that is not listed")
    require(all(0 <= each < _DECISIONS for each in decision), "decision_type is out of range")
    # Leaf k is written ~k: here it is node splits + k.
    sides = [tuple(k if k >= 0 else splits + ~k for k in pair) for pair in zip(left, right, strict=True)]
    walk(2 * splits + 1, lambda node: sides[node] if node < splits else ())
    for kind, cut in zip(decision, threshold, strict=True):
        if kind & _CATEGORICAL:
            require(cut.is_integer() and 0 <= cut < cats, "threshold names no category set")
    yield f"split_feature={_joined(feature)}"
    yield f"threshold={_joined(threshold)}"
    yield f"decision_type={_joined(decision)}"
    yield f"left_child={_joined(left)}"
    yield f"right_child={_joined(right)}"
    yield from _categories(pairs, cats)


def _categories(pairs: dict[str, str], cats: int) -> Iterator[str]:
    if cats == 0:
        return
    require(0 < cats <= NODES_MAX, "num_cat is out of range")
    bounds = _numbers(pairs, "cat_boundaries", cats + 1, _integer)
    require(bounds[0] == 0 and bounds[-1] <= NODES_MAX, "cat_boundaries are out of range")
    require(all(a <= b for a, b in pairwise(bounds)), "cat_boundaries must ascend")
    bits = _numbers(pairs, "cat_threshold", bounds[-1], _integer)
    require(all(0 <= each < 2**32 for each in bits), "cat_threshold is out of range")
    yield f"cat_boundaries={_joined(bounds)}"
    yield f"cat_threshold={_joined(bits)}"


def _pairs(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines())
    return {name: value.strip() for name, sign, value in lines if sign}


def _one(pairs: dict[str, str], name: str) -> int:
    return _numbers(pairs, name, 1, _integer)[0]


def _numbers(pairs: dict[str, str], name: str, count: int, parse: Callable[[str], N | None]) -> list[N]:
    words = pairs.get(name, "").split()
    require(len(words) == count, f"{name} must hold {count} numbers")
    found = [value for word in words if (value := parse(word)) is not None]
    require(len(found) == count, f"{name} holds something that is no number")
    return found


def _integer(word: str) -> int | None:
    return int(word) if _INTEGER.fullmatch(word) else None


def _real(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _joined(values: Sequence[float]) -> str:
    return " ".join(map(repr, values))

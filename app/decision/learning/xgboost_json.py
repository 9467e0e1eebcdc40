"""XGBoost's JSON format (`Booster.save_model("….json")`), checked and written anew.

Rules of this module:

1.  XGBoost checks less than it follows, so it never sees what was given: the document is built anew from
    what was understood.
2.  Known are single-output `gbtree` models with a logistic or squared-error objective and numeric splits.
    Categorical splits, `dart`, several classes or targets are refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from app.decision.learning.tree_shape import NODES_MAX, TREES_MAX, BrokenTree, require, walk

OBJECTIVES = ("binary:logistic", "reg:logistic", "reg:squarederror")
_FLOAT_MAX = 3.4e38
_LARGE = 1e300
_ROOT_PARENT = 2**31 - 1
_BASE_SCORE = re.compile(r"(\[?)(-?\d(?:\.\d{1,17})?(?:E-?\d{1,2})?)(\]?)")


def canonical(document: object, features: int) -> bytes:
    """The model as XGBoost would save it, reduced to what predicting needs.

    Args:
        document: The model file, decoded.
        features: How many features the rows will have.

    Raises:
        BrokenTree: it is none, or one that is not supported.
    """
    learner = _member(document, "learner", dict)
    booster = _member(learner, "gradient_booster", dict)
    require(booster.get("name") == "gbtree", "its booster must be gbtree")
    parameters = _member(learner, "learner_model_param", dict)
    require(
        parameters.get("num_feature") == str(features), f"must be trained on {features} features, as listed"
    )
    require(parameters.get("num_class", "0") == "0", "must not have several classes")
    require(parameters.get("num_target", "1") == "1", "must not have several targets")
    objective = _member(learner, "objective", dict).get("name")
    require(objective in OBJECTIVES, f"its objective must be one of: {', '.join(OBJECTIVES)}")
    base = parameters.get("base_score")
    require(isinstance(base, str) and _BASE_SCORE.fullmatch(base) is not None, "base_score is no number")
    trees = _trees(_member(booster, "model", dict), features)
    version = _numbers(document, "version", 3, int)
    require(all(0 <= part < 1_000 for part in version), "version is out of range")
    return json.dumps(_document(version, objective, base, features, trees)).encode()


def _document(
    version: list[int], objective: object, base: object, features: int, trees: list[dict[str, Any]]
) -> dict[str, Any]:
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(len(trees) + 1)),
        "tree_info": [0] * len(trees),
        "trees": trees,
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
    }
    parameters = {
        "base_score": base,
        "boost_from_average": "1",
        "num_class": "0",
        "num_feature": str(features),
        "num_target": "1",
    }
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": parameters,
        "objective": {"name": objective, "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return {"learner": learner, "version": version}


def _trees(model: dict[str, Any], features: int) -> list[dict[str, Any]]:
    given = _member(model, "trees", list)
    require(1 <= len(given) <= TREES_MAX, f"must hold 1 to {TREES_MAX} trees")
    parameters = _member(model, "gbtree_model_param", dict)
    require(parameters.get("num_parallel_tree", "1") in ("0", "1"), "must not be a forest of parallel trees")
    trees = []
    for i, tree in enumerate(given):
        try:
            trees.append(_tree(tree, i, features))
        except BrokenTree as broken:
            raise BrokenTree(f"tree {i}: {broken}") from None
    return trees


def _tree(tree: object, number: int, features: int) -> dict[str, Any]:
    nodes = len(_member(tree, "left_children", list))
    require(1 <= nodes <= NODES_MAX, "has no nodes, or too many")
    left, right = (_numbers(tree, f"{side}_children", nodes, int) for side in ("left", "right"))
    require(all((a == -1) == (b == -1) for a, b in zip(left, right, strict=True)), "a node has one child")
    reached = walk(nodes, lambda node: () if left[node] == -1 else (left[node], right[node]))
    # What pruning has deleted stays in the file.
    left, right = ([k if reached[i] else -1 for i, k in enumerate(side)] for side in (left, right))
    split = _numbers(tree, "split_indices", nodes, int)
    require(all(0 <= each < features for each in split), "split_indices names a feature that is not listed")
    kinds = _member(tree, "split_type", list) if isinstance(tree, dict) and "split_type" in tree else []
    require(all(kind == 0 for kind in kinds), "categorical splits are not supported")
    conditions = _numbers(tree, "split_conditions", nodes, float)
    require(all(abs(each) <= _FLOAT_MAX for each in conditions), "split_conditions is out of range")
    defaults = [int(bool(each)) for each in _numbers(tree, "default_left", nodes, int)]
    parents = [_ROOT_PARENT] * nodes
    for node in range(nodes):
        if left[node] != -1:
            parents[left[node]] = parents[right[node]] = node
    return {
        "base_weights": [0.0] * nodes,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": defaults,
        "id": number,
        "left_children": left,
        "loss_changes": [0.0] * nodes,
        "parents": parents,
        "right_children": right,
        "split_conditions": conditions,
        "split_indices": split,
        "split_type": [0] * nodes,
        "sum_hessian": [1.0] * nodes,
        "tree_param": _parameters(nodes, features),
    }


def _parameters(nodes: int, features: int) -> dict[str, str]:
    return {
        "num_deleted": "0",
        "num_feature": str(features),
        "num_nodes": str(nodes),
        "size_leaf_vector": "1",
    }


def _member(document: object, name: str, kind: type) -> Any:
    require(isinstance(document, dict), f"must be an object with {name}")
    found = document.get(name) if isinstance(document, dict) else None
    require(isinstance(found, kind), f"{name} is not there, or not of the right type")
    return found


def _numbers(document: object, name: str, count: int, kind: type) -> list[Any]:
    found = _member(document, name, list)
    require(len(found) == count, f"{name} must hold {count} numbers")
    kinds = (int,) if kind is int else (int, float)
    # True is an int to Python, and a default direction to older versions of XGBoost.
    known = all(isinstance(each, kinds) and -_LARGE <= each <= _LARGE for each in found)
    require(known, f"{name} holds something else than numbers")
    return [kind(each) for each in found]

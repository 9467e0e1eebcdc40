"""ONNX models of tree ensembles, checked before a library runs them.

Rules of this module:

1.  An ONNX model is a program. Only these operators may be in it: tree ensembles, and what converters put
    around them. No operator of them allocates more than its input and its trees do; there are no
    initializers, so nothing is read from other files, and no inner graphs.
2.  The trees of an ensemble are walked, as those of other formats are.
3.  Read is the protocol buffers' wire format (protobuf.dev, "Encoding") by the field numbers of
    `onnx.proto` (github.com/onnx/onnx), and no more of it than these checks need.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from app.decision.learning.tree_shape import NODES_MAX, TREES_MAX, BrokenTree, require, walk

OPERATORS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "Cast", "Identity", "ZipMap")
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_NAME, _TENSOR, _GRAPH, _INTEGERS, _STRINGS, _TENSORS, _GRAPHS = 1, 5, 6, 8, 9, 10, 11
_ENSEMBLE = "nodes_"
_NODES = ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")

#: A message: by field number its values, numbers or bytes.
Message = dict[int, list[int | bytes]]


def check(model: bytes, features: int) -> None:
    """Nothing when the model is a tree ensemble over so many features.

    Raises:
        BrokenTree: it is none, or one that is not supported.
    """
    parsed = _message(model)
    graphs = _parts(parsed, _MODEL_GRAPH)
    require(len(graphs) == 1 and not parsed.get(_MODEL_FUNCTIONS), "must hold one graph and no functions")
    graph = _message(graphs[0])
    plain = not graph.get(_GRAPH_INITIALIZER) and not graph.get(_GRAPH_SPARSE_INITIALIZER)
    require(plain, "must have no initializers: all numbers belong to the trees")
    ensembles = 0
    for part in _parts(graph, _GRAPH_NODE):
        ensembles += _node(_message(part), features)
    require(ensembles == 1, "must hold exactly one tree ensemble")


def _node(node: Message, features: int) -> int:
    """1 for a tree ensemble, 0 for another operator that may be there."""
    names = _parts(node, _NODE_OPERATOR)
    operator = names[0].decode("utf-8", "replace") if names else ""
    require(operator in OPERATORS, f"may hold only the operators {', '.join(OPERATORS)}")
    attributes = {}
    for part in _parts(node, _NODE_ATTRIBUTE):
        attribute = _message(part)
        inner = any(attribute.get(field) for field in (_TENSOR, _GRAPH, _TENSORS, _GRAPHS))
        require(not inner, "may hold no tensors or graphs inside its operators")
        name = b"".join(_parts(attribute, _NAME)).decode("utf-8", "replace")
        attributes[name] = attribute
    if not operator.startswith("TreeEnsemble"):
        return 0
    _ensemble(attributes, features)
    return 1


def _ensemble(attributes: dict[str, Message], features: int) -> None:
    columns = [_integers(attributes.get(_ENSEMBLE + name, {})) for name in _NODES]
    count = len(columns[0])
    require(1 <= count <= NODES_MAX, "has no nodes, or too many")
    require(all(len(column) == count for column in columns), "its nodes_* attributes differ in length")
    modes = _parts(attributes.get(_ENSEMBLE + "modes", {}), _STRINGS)
    require(len(modes) == count, "its nodes_* attributes differ in length")
    require(
        all(0 <= each < features for each in columns[2]),
        "nodes_featureids names a feature that is not listed",
    )
    trees: dict[int, dict[int, Sequence[int]]] = defaultdict(dict)
    for tree, node, _, true, false, mode in zip(*columns, modes, strict=True):
        require(node not in trees[tree], f"tree {tree} has node {node} twice")
        trees[tree][node] = () if mode == b"LEAF" else (true, false)
    require(len(trees) <= TREES_MAX, f"must hold at most {TREES_MAX} trees")
    for nodes in trees.values():
        require(set(nodes) == set(range(len(nodes))), "the nodes of a tree must be numbered from 0")
        walk(len(nodes), nodes.__getitem__)


def _integers(attribute: Message) -> list[int]:
    """The integers of an attribute, packed or one by one."""
    found: list[int] = []
    for value in attribute.get(_INTEGERS, []):
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
    return found


def _parts(message: Message, field: int) -> list[bytes]:
    return [value for value in message.get(field, []) if isinstance(value, bytes)]


def _message(data: bytes) -> Message:
    found: Message = defaultdict(list)
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind, value = tag & 7, 0
        if kind == 0:
            value, at = _varint(data, at)
            found[tag >> 3].append(value)
            continue
        if kind == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        require(0 <= length <= len(data) - at, "is no ONNX model")
        found[tag >> 3].append(data[at : at + length])
        at += length
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise BrokenTree("is no ONNX model")

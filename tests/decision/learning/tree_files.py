"""Model files of small trees, written by their libraries or, for ONNX, by hand."""

from __future__ import annotations

import base64
import functools
import importlib
from collections.abc import Sequence
from typing import Any

import pytest

from tests.kafka.broker import in_ci


def training_data() -> tuple[Any, Any]:
    """400 rows of three numbers; the label says whether the first two add up to more than 0."""
    import numpy

    rows = numpy.random.default_rng(1).normal(size=(400, 3))
    return rows, (rows[:, 0] + rows[:, 1] > 0).astype(int)


@functools.cache
def lightgbm_file() -> str:
    import lightgbm

    rows, labels = training_data()
    parameters = {"objective": "binary", "verbose": -1, "num_leaves": 5, "num_threads": 1}
    trained = lightgbm.train(parameters, lightgbm.Dataset(rows, labels), num_boost_round=4)
    return str(trained.model_to_string())


@functools.cache
def xgboost_file() -> str:
    import xgboost

    rows, labels = training_data()
    parameters = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    trained = xgboost.train(parameters, xgboost.DMatrix(rows, labels), 4)
    return bytes(trained.save_raw("json")).decode()


def onnx_file(
    true: Sequence[int] = (1, 0, 0), false: Sequence[int] = (2, 0, 0), feature: int = 0, operator: str = ""
) -> str:
    """A regressor of one tree: 0.25 when the feature is at most 10, else 0.75."""
    attributes = [
        _ints("nodes_treeids", [0, 0, 0]),
        _ints("nodes_nodeids", [0, 1, 2]),
        _ints("nodes_featureids", [feature, 0, 0]),
        _strings("nodes_modes", [b"BRANCH_LEQ", b"LEAF", b"LEAF"]),
        _floats("nodes_values", [10.0, 0.0, 0.0]),
        _ints("nodes_truenodeids", true),
        _ints("nodes_falsenodeids", false),
        _ints("nodes_missing_value_tracks_true", [0, 0, 0]),
        _ints("target_treeids", [0, 0]),
        _ints("target_nodeids", [1, 2]),
        _ints("target_ids", [0, 0]),
        _floats("target_weights", [0.25, 0.75]),
        _int("n_targets", 1),
    ]
    node = _text(1, "x") + _text(2, "y") + _text(4, operator or "TreeEnsembleRegressor")
    node += b"".join(_bytes(5, attribute) for attribute in attributes) + _text(7, "ai.onnx.ml")
    graph = _bytes(1, node) + _text(2, "g") + _bytes(11, _value("x", 3)) + _bytes(12, _value("y", 1))
    opsets = _bytes(8, _text(1, "ai.onnx.ml") + _number(2, 3)) + _bytes(8, _text(1, "") + _number(2, 15))
    return base64.b64encode(_number(1, 8) + _bytes(7, graph) + opsets).decode()


def _value(name: str, columns: int) -> bytes:
    shape = _bytes(1, _text(2, "n")) + _bytes(1, _number(1, columns))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, shape)))


def _ints(name: str, values: Sequence[int]) -> bytes:
    return _text(1, name) + b"".join(_number(8, value) for value in values) + _number(20, 7)


def _floats(name: str, values: Sequence[float]) -> bytes:
    import struct

    packed = b"".join(_tag(7, 5) + struct.pack("<f", value) for value in values)
    return _text(1, name) + packed + _number(20, 6)


def _strings(name: str, values: Sequence[bytes]) -> bytes:
    return _text(1, name) + b"".join(_bytes(9, value) for value in values) + _number(20, 8)


def _int(name: str, value: int) -> bytes:
    return _text(1, name) + _number(3, value) + _number(20, 2)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _tag(field, 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _tag(field, 0) + _varint(value & (2**64 - 1))


def _tag(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def require(library: str) -> None:
    """Leaves the test out where the extra `trees` is not there, or does not run; in CI that is a failure."""
    try:
        importlib.import_module(library)
    except (ImportError, OSError) as error:
        if in_ci():
            raise
        pytest.skip(f"{library} comes with the extra trees: {error}")

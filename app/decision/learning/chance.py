"""Chance that is an argument: numbers drawn from a salt, the same in every process.

Rules of this module:

1.  The salt's parts, each with its length, are hashed with BLAKE2b (RFC 7693); block number k of the stream
    is the digest of the salt followed by k, and gives eight words. Equal parts give equal draws, for ever:
    golden values hold the stream.
2.  A uniform lies strictly between 0 and 1, so that its logarithm is finite.
3.  Each `Chance` is its own stream. Who draws for several arms makes one for each arm, so that the order
    of the arms changes nothing.

Not for secrets, and not faster than it must be: a Beta draw costs some microseconds.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from struct import Struct

_WORDS = Struct("<8Q")
_STEP = 2.0**-52
#: Shapes of gamma and beta draws: below, a draw is 0 or 1 in double precision; above, it has no spread.
SHAPE_MIN, SHAPE_MAX = 1e-3, 1e15


class Chance:
    """A stream of draws that is fixed by its salt."""

    __slots__ = ("_block", "_seed", "_spare", "_words")

    def __init__(self, *salt: str) -> None:
        self._seed = blake2b(digest_size=64)
        for part in salt:
            encoded = part.encode("utf-8", "surrogatepass")
            self._seed.update(len(encoded).to_bytes(4, "little") + encoded)
        self._block = 0
        self._words: list[int] = []
        self._spare: float | None = None

    def uniform(self) -> float:
        """A number strictly between 0 and 1, evenly: the middle of one of 2^52 equal steps."""
        if not self._words:
            hasher = self._seed.copy()
            hasher.update(self._block.to_bytes(8, "little"))
            self._words = list(_WORDS.unpack(hasher.digest()))
            self._words.reverse()
            self._block += 1
        return ((self._words.pop() >> 12) + 0.5) * _STEP

    def normal(self) -> float:
        """A standard normal draw, by the polar form of two uniforms.

        Box and Muller, "A note on the generation of random normal deviates", 1958.
        """
        if self._spare is not None:
            spare, self._spare = self._spare, None
            return spare
        radius = math.sqrt(-2.0 * math.log(self.uniform()))
        angle = 2.0 * math.pi * self.uniform()
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def gamma(self, shape: float) -> float:
        """A Gamma(shape, 1) draw, at least 0 (a shape far below 1 rounds to it).

        Raises:
            ValueError: the shape is not between `SHAPE_MIN` and `SHAPE_MAX`.
        """
        return math.exp(self._log_gamma(shape))

    def beta(self, alpha: float, beta: float) -> float:
        """A Beta(alpha, beta) draw in 0–1: X / (X + Y) of two gamma draws.

        Raises:
            ValueError: alpha or beta is not between `SHAPE_MIN` and `SHAPE_MAX`.
        """
        # By logarithms: gamma draws of small shapes round to 0, and 0 / 0 says nothing.
        difference = self._log_gamma(beta) - self._log_gamma(alpha)
        return 1.0 / (1.0 + math.exp(difference)) if difference < 700.0 else 0.0

    def _log_gamma(self, shape: float) -> float:
        """The logarithm of a gamma draw: Marsaglia and Tsang, "A simple method for generating gamma
        variables", ACM TOMS 26, 2000; for a shape below 1 with their boost, G(a) = G(a + 1) · U^(1/a)."""
        if not SHAPE_MIN <= shape <= SHAPE_MAX:
            raise ValueError(f"a shape of {shape} is not between {SHAPE_MIN:g} and {SHAPE_MAX:g}")
        if shape < 1.0:
            return self._log_gamma(shape + 1.0) + math.log(self.uniform()) / shape
        d = shape - 1.0 / 3.0
        c = 1.0 / math.sqrt(9.0 * d)
        while True:
            x = self.normal()
            root = 1.0 + c * x
            if root <= 0.0:
                continue
            v, u = root * root * root, self.uniform()
            if u < 1.0 - 0.0331 * x**4 or math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
                return math.log(d * v)

"""A worker's web server and its client, as the web tests have them."""

from tests.web.conftest import client, worker

__all__ = ["client", "worker"]

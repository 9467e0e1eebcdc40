"""The headers that every answer carries, made once.

1.  What is answered is data, never a page: nothing may load, frame or sniff it, and nobody may store it.
2.  A view that is a page says its own; what an answer names replaces what is here.
3.  Which server this is, and in which version, is nobody's business.
"""

from __future__ import annotations

from multidict import CIMultiDict

SECURE_HEADERS: CIMultiDict[str] = CIMultiDict(
    {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        # The server would put its name and version there.
        "Server": "offertide",
    }
)

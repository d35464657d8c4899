"""moto's S3 server in a process of its own: ``python -m tests.harness.moto_server PORT``.

It looks for a key and writes it in two steps, so it is kept to one request at a time: with more, two racing conditional PUTs
can win, which no real store allows.
"""

import logging
import sys
import threading
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class _KeepAliveHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def serialised(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with one_at_a_time:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", int(sys.argv[1]), serialised, threaded=True, request_handler=_KeepAliveHandler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()

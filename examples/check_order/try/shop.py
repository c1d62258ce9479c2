"""A shop's order service on this machine, to try the tool with: python try/shop.py [PORT]."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "shop-key"
ORDERS = {
    "/orders/4271": {"status": "SENT", "expected_on": "2026-05-03"},
    "/orders/5038": {"status": "LATE", "expected_on": None},
}


class Shop(BaseHTTPRequestHandler):
    """Answers for orders to who has the key."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {KEY}":
            return self.answer(401, {})
        order = ORDERS.get(self.path)
        return self.answer(404 if order is None else 200, order or {})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8700
    with ThreadingHTTPServer(("127.0.0.1", port), Shop) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()

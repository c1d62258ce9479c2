"""The worker's own SIP line: real telephones without a LiveKit server."""

"""W&B's real client against a local server that stores the history and can be taken down.

Run as a program (``python -m tests.dashboards.online FOLDER``), since W&B reads its server's address once per process.
Prints the server's history after each phase as JSON.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from surefoot.dashboards import WandB

from .support import FakeRun


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.down = False
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.down:
            answer: dict[str, Any] = {}
        elif "file_stream" in self.path:
            answer = self.history(json.loads(body))
        else:
            answer = {"data": self.data(json.loads(body))} if "graphql" in self.path else {}
        content = json.dumps(answer).encode()
        self.send_response(503 if self.server.down else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def history(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Store rows at the offset given by the client; a repeated row replaces the stored one."""
        run = self.path.split("/")[-2]
        if part := (sent.get("files") or {}).get("wandb-history.jsonl"):
            rows = [json.loads(line) for line in part["content"]]
            self.server.runs[run][part["offset"] : part["offset"] + len(rows)] = rows
        return {}

    def data(self, query: dict[str, Any]) -> dict[str, Any]:
        name = (query.get("variables") or {}).get("name")
        project = {"id": "p", "name": "surefoot", "entity": {"id": "e", "name": "us"}}
        run: dict[str, Any] = {"id": "r", "name": name, "displayName": name, "description": "", "project": project}
        match query["operationName"]:
            case "UpsertBucket":
                rows = self.server.runs.setdefault(name, [])
                run |= {"config": "{}", "sweepName": None, "historyLineCount": len(rows)}
                return {"upsertBucket": {"bucket": run, "inserted": True}}
            case "RunResumeStatus":
                return {"model": {**project, "bucket": self.resumed(name, run)}}
            case "CreateRunFiles":
                return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}}
            case _:
                return {"viewer": {"id": "v", "entity": "us", "username": "us"}, "serverInfo": {"features": []}}

    def resumed(self, name: str, run: dict[str, Any]) -> dict[str, Any] | None:
        rows = self.server.runs.get(name)
        if rows is None:
            return None
        run |= {"historyLineCount": len(rows), "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]])}
        run |= {"eventsLineCount": 0, "eventsTail": "[]", "logLineCount": 0, "summaryMetrics": "{}", "tags": []}
        return run | {"config": "{}", "wandbConfig": '{"t": 1}'}


def main(folder: Path) -> None:
    server = Server()
    os.environ |= {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "0" * 40}
    os.environ |= {"WANDB_SILENT": "true", "WANDB_FINISH_TIMEOUT": "2", "WANDB_ERROR_REPORTING": "false"}
    phases: list[Any] = []

    def record() -> None:
        (rows,) = server.runs.values()
        phases.append([[row["_step"], row["env_steps"], row["evaluation/return"]] for row in rows])

    run = FakeRun(folder / "run")
    failed = WandB()
    run.run(failed, range(0, 301, 100), offset=0.0, kill=True)
    run.checkpoint(300)
    failed.on_evaluation(run.evaluate(400, {3: [1.0], 4: [2.0]}))
    failed.close()
    record()

    run.drop_rows_since_checkpoint()
    resumed = WandB()
    run.run(resumed, range(350, 551, 200), offset=0.5, start=300, kill=True)
    server.down = True
    resumed.on_evaluation(run.evaluate(650, {3: [3.0], 4: [4.0]}))
    resumed.close()
    server.down = False
    record()

    for _ in range(2):
        done = WandB().sync(run.path)
        phases.append([done.points, done.written])
        record()
    print(json.dumps(phases), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

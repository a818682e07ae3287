"""The servers from which all contenders read: one nginx, and an API in front of it for meetfs.

The WAN profile adds a simulated slow network for all contenders. The servers count the requests.
"""

import json
import os
import socket
import subprocess
import time
import xml.sax.saxutils as xml
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote, quote_plus

import process
from plan import LOOPBACK, NETWORKS
from process import Failed
from tools import Tools

# The bucket that mount-s3 mounts.
BUCKET = "bench"

_NGINX = """
{modules}
{user}
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/nginx.error;
events {{ worker_connections 1024; }}
http {{
    log_format count '$body_bytes_sent';
    access_log {directory}/nginx.access count;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    types {{ video/mp4 mp4; text/vtt vtt; text/plain txt; application/xml xml; }}
    default_type text/html;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    # A listing without a length ends with its connection; the proxy can relay such a response.
    chunked_transfer_encoding off;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/media;
        autoindex on;
        # URLs in the path style of S3: the listing of a prefix is a prepared file.
        location = /{bucket} {{ root {directory}/lists; try_files /$arg_prefix.xml /none.xml =404; }}
        location = /{bucket}/ {{ root {directory}/lists; try_files /$arg_prefix.xml /none.xml =404; }}
        # S3 has no directories: a request for one finds nothing.
        location /{bucket}/ {{ root {directory}/buckets; try_files $uri =404; {tags} }}
    }}
}}
"""


# The entity tag of every object in the bucket. The tags of nginx contain a dash, after which S3 clients
# expect the number of uploaded parts, and nginx matches `If-Match` only against its own tags.
ENTITY_TAG = "0123456789abcdef0123456789abcdef"
_TAG_SETTINGS = f"etag off; more_clear_input_headers If-Match; more_set_headers 'ETag: \"{ENTITY_TAG}\"';"


class Nginx:
    """A web server on a free port of 127.0.0.1."""

    def __init__(self, tools: Tools, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = directory / "nginx.conf"
        module = tools.headers_more
        modules = f"load_module {module};" if module else ""
        tags = _TAG_SETTINGS if module else ""
        settings = {"modules": modules, "user": user, "directory": directory, "port": self.port, "bucket": BUCKET, "tags": tags}
        configuration.write_text(_NGINX.format(**settings))
        self._log = directory / "nginx.access"
        self._totals = {"requests": 0, "bytes": 0}
        self._log_offset = 0
        self._child = process.start([tools.nginx, "-c", configuration, "-p", directory], directory / "nginx.log")
        process.wait_until(self._answers, 10, "nginx did not start")

    def _answers(self) -> bool:
        if self._child.poll() is not None:
            raise Failed(f"nginx ended: {self._log.with_name('nginx.log').read_text().strip()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def count(self) -> dict[str, int]:
        """Returns the totals of all completed responses."""
        with self._log.open() as log:
            log.seek(self._log_offset)
            for line in log:
                if not line.endswith("\n"):
                    break
                self._totals["requests"] += 1
                self._totals["bytes"] += int(line)
                self._log_offset += len(line)
        return dict(self._totals)

    def stop(self) -> None:
        process.stop(self._child)


class Origin:
    """The servers of one profile: URLs for the contenders, and the number of their requests."""

    def __init__(self, profile: str, tools: Tools, directory: Path, nginx: Nginx, manifest: Path) -> None:
        self.profile = profile
        self._nginx = nginx
        command = [tools.cloud, "--manifest", manifest, "--origin", f"127.0.0.1:{nginx.port}"]
        network = NETWORKS[profile]
        if network:
            command += ["--latency-ms", network.latency_ms, "--bytes-per-second", network.bytes_per_second]
            command += ["--burst-bytes", network.burst_bytes] + (["--lossy"] if network.is_lossy else [])
            command += ["--line-bytes-per-second", network.line_bytes_per_second] if network.line_bytes_per_second else []
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._child = process.start(command, directory / f"cloud-{profile}.log", **pipes)
        self.urls = self._answer()
        self.media = self.urls["media"]

    def _answer(self) -> dict:
        line = self._child.stdout.readline()
        if not line:
            raise Failed("the API server ended; run with --keep and see its log")
        return json.loads(line)

    def count(self) -> dict[str, int]:
        """Returns the totals so far: requests and bytes of files, API requests, and redirects."""
        self._child.stdin.write("count\n")
        self._child.stdin.flush()
        totals = self._answer()
        if self.profile == LOOPBACK:
            totals |= self._nginx.count()
        return totals

    def requests_since(self, previous: dict[str, int]) -> dict[str, int]:
        """Returns the requests since `previous`, after all of them are complete."""
        # A transfer continues for a moment, because the file may be opened again.
        time.sleep(0.3)
        current = self.count()
        difference = {name: current[name] - previous[name] for name in ("requests", "bytes", "api", "web")}
        return difference | {"peak": current["peak"]}

    def stop(self) -> None:
        process.stop(self._child)


def create_s3_listings(directory: Path) -> None:
    """Creates an S3 bucket of the media: for every directory, a reply to ListObjectsV2 with one page."""
    media, lists, buckets = directory / "media", directory / "lists", directory / "buckets"
    lists.mkdir()
    buckets.mkdir()
    (buckets / BUCKET).symlink_to(media)
    (lists / "none.xml").write_text(_listing("", [], []))
    for parent, directories, files in os.walk(media):
        path = Path(parent).relative_to(media).as_posix()
        prefix = "" if path == "." else f"{path}/"
        entries = [(f"{prefix}{name}", os.stat(f"{parent}/{name}")) for name in sorted(files)]
        page = _listing(prefix, [f"{prefix}{name}/" for name in sorted(directories)], entries)
        # Clients encode a space in different ways, and nginx compares the query as received.
        for name in {quote(prefix, safe=""), quote_plus(prefix, safe="")}:
            (lists / f"{name}.xml").write_text(page)


def _listing(prefix: str, directories: list[str], files: list) -> str:
    lines = ['<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">']
    lines.append(f"<Name>{BUCKET}</Name><Prefix>{xml.escape(prefix)}</Prefix><Delimiter>/</Delimiter>")
    lines.append(f"<KeyCount>{len(directories) + len(files)}</KeyCount><MaxKeys>1000000</MaxKeys><IsTruncated>false</IsTruncated>")
    for key, stat in files:
        changed = datetime.fromtimestamp(int(stat.st_mtime), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        lines.append(
            f"<Contents><Key>{xml.escape(key)}</Key><LastModified>{changed}</LastModified><ETag>&quot;{ENTITY_TAG}&quot;</ETag>"
            f"<Size>{stat.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    lines += [f"<CommonPrefixes><Prefix>{xml.escape(directory)}</Prefix></CommonPrefixes>" for directory in directories]
    return "".join(lines) + "</ListBucketResult>\n"

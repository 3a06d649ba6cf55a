"""Write test/unit/kube/proxy_cases.json: which proxy Go chooses for a server and an environment.

    python hack/record_proxy_cases.py

Needs Go. A temporary Go program asks ``http.ProxyFromEnvironment``, which client-go and therefore kubectl use, about
each combination below. That function reads the environment once, so there is one process per environment.

The file contains, for each value of NO_PROXY, the servers that are reached directly, and the answers to other cases.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = Path(__file__).parent.parent / "test/unit/kube/proxy_cases.json"

PROGRAM = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	for _, server := range os.Args[1:] {
		request, err := http.NewRequest("GET", server, nil)
		if err != nil {
			panic(err)
		}
		proxy, err := http.ProxyFromEnvironment(request)
		if err != nil {
			fmt.Println("error")
		} else if proxy != nil {
			fmt.Println(proxy)
		} else {
			fmt.Println("")
		}
	}
}
"""

PROXY = "http://proxy.corp:3128"
SERVERS = (
    *(
        "https://api.corp.example:6443",
        "https://corp.example",
        "https://notcorp.example",
        "http://api.corp.example",
    ),
    *(
        "https://10.1.2.3:6443",
        "https://10.1.2.3",
        "https://192.168.7.9:6443",
        "https://api.corp.example.:6443",
    ),
    *(
        "https://[fd00::1]:6443",
        "https://[fd00::1]",
        "https://[::ffff:10.1.2.3]:6443",
        "https://b\u00fccher.example",
    ),
    *("https://127.0.0.1:6443", "https://127.8.9.1:6443", "https://[::1]:6443", "https://localhost:6443"),
    *("https://kind.localhost:6443", "https://0.0.0.0:6443"),
)
EXCEPTIONS = (
    *(
        "",
        "*",
        " * ",
        "*,x",
        "x,*",
        "corp.example",
        ".corp.example",
        "*.corp.example",
        "CORP.example",
        "*corp.example",
    ),
    *(
        "corp.example:6443",
        ".corp.example:6443",
        "*.corp.example:443",
        "corp.example:443",
        "corp.example:",
        ":6443",
    ),
    *("api.corp.example", "api.corp.example.", ".example", "example", "api.*", "*.*", "..corp.example"),
    *("10.1.2.3", "10.1.2.3:6443", "10.1.2.3:443", "10.0.0.0/8", "10.1.2.3/8", "10.1.2.3/32", "10.0.0.0/33"),
    *(
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/8:6443",
        "10.",
        "10.*",
        "010.1.2.3",
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/",
        "/8",
    ),
    *("fd00::1", "[fd00::1]", "[fd00::1]:6443", "[fd00::1]:443", "fd00::/8", "[fd00::]/8", "fd00:0:0::1"),
    *(
        "::ffff:10.1.2.3",
        "::ffff:10.0.0.0/104",
        "b\u00fccher.example",
        ".b\u00fccher.example",
        "xn--bcher-kva.example",
    ),
    *(
        " 10.0.0.0/8 , .corp.example ",
        "localhost,10.0.0.0/8",
        ",,",
        "10.1.2.3;corp.example",
        "10.1.2.3 corp.example",
    ),
    *("a:b:c", "https://corp.example", "corp.example/", "user@corp.example"),
)
OTHER = (
    ("https://a", {"HTTP_PROXY": PROXY}),
    ("http://a", {"HTTPS_PROXY": PROXY}),
    ("https://a", {"ALL_PROXY": PROXY}),
    ("https://a", {"https_proxy": PROXY}),
    ("http://a", {"http_proxy": PROXY}),
    ("https://a", {"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}),
    ("https://a", {"HTTPS_PROXY": "", "https_proxy": PROXY}),
    ("https://a", {"HTTPS_PROXY": PROXY, "NO_PROXY": "b", "no_proxy": "a"}),
    ("https://a", {"HTTPS_PROXY": PROXY, "NO_PROXY": "", "no_proxy": "a"}),
    ("http://a", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}),
    ("https://a", {"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}),
    *(
        ("https://a", {"HTTPS_PROXY": value})
        for value in (
            *(
                "proxy",
                "proxy:3128",
                "127.0.0.1:3128",
                "[fd00::1]:3128",
                "user:pw@proxy:3128",
                "https://proxy:3128",
            ),
            *("http://user:p%40w@proxy", "http://proxy/", "HTTP://proxy"),
        )
    ),
)


def answers(program: Path, servers: Sequence[str], environ: dict[str, str]) -> list[str]:
    """The proxy of each server; "" for a direct connection, "error" for an error."""
    ran = subprocess.run([program, *servers], env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout.splitlines()


def main() -> None:
    """Ask Go and write the file."""
    version = subprocess.run(
        ["go", "env", "GOVERSION"], check=True, capture_output=True, text=True
    ).stdout.strip()
    direct: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.go").write_text(PROGRAM)
        program = Path(folder, "ask")
        subprocess.run(["go", "build", "-o", program, "main.go"], cwd=folder, check=True)
        for exceptions in EXCEPTIONS:
            environ = {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": exceptions}
            proxies = answers(program, SERVERS, environ)
            direct[exceptions] = [server for server, proxy in zip(SERVERS, proxies, strict=True) if not proxy]
        others = [[server, environ, answers(program, [server], environ)[0]] for server, environ in OTHER]
    recorded = {"go": version, "proxy": PROXY, "servers": SERVERS, "direct": direct, "others": others}
    TARGET.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()

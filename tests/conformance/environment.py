"""The suite's own Python 2.7 and its packages, below build/autobahn: made once, and again when a pin changes."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build"
HOME = BUILD / "autobahn"
PINS = ["interpreter.txt", "requirements.txt", "requirements-source.txt", "build-constraints.txt", "environment.py"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PATIENCE = 300


class Unavailable(Exception):
    """Why the suite cannot be had here, in a sentence."""


def say(*command, **more):
    ran = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=PATIENCE, check=False, **more)
    if ran.returncode != 0:
        raise Unavailable(f"{command[0]} failed: {' | '.join(ran.stdout.strip().splitlines()[-3:])}")
    return ran.stdout


def pins():
    digest = hashlib.sha256()
    for name in PINS:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def mirror():
    """Where this machine has its Debian packages from."""
    for line in say("apt-get", "indextargets", "--format", "$(CREATED_BY) $(SITE) $(RELEASE)").splitlines():
        created, site, release = line.split(maxsplit=2)
        if created == "Packages" and "-" not in release:
            return site
    raise Unavailable("apt knows no Debian archive: run apt-get update once")


def fetch_interpreter(folder):
    """By apt, with lists and cache of its own, so that the system does not change and signatures are checked."""
    if not shutil.which("apt-get") or say("dpkg", "--print-architecture").strip() != "amd64":
        raise Unavailable("the Python 2.7 that is pinned is Debian's for amd64, and this is another system; "
                          "THRUM_PYTHON27 may name one (built with UCS-4)")
    apt = folder / "apt"
    (apt / "lists" / "partial").mkdir(parents=True)
    (apt / "cache" / "archives" / "partial").mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} bullseye main\n", encoding="utf-8")
    options = [f"-o{name}={value}" for name, value in {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache", "APT::Sandbox::User": "", "Acquire::Languages": "none", "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30", "APT::Update::Error-Mode": "any"}.items()]
    say("apt-get", *options, "update")
    lines = (HERE / "interpreter.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.split() for line in lines if not line.startswith("#")]
    say("apt-get", *options, "download", *(f"{name}={version}" for name, version, _ in wanted), cwd=apt)
    for name, version, digest in wanted:
        deb = next(apt.glob(f"{name}_*.deb"))
        if hashlib.sha256(deb.read_bytes()).hexdigest() != digest:
            raise Unavailable(f"{name} {version} is not the one that is pinned: its sha256 differs")
        say("dpkg-deb", "-x", deb, folder / "root")
    shutil.rmtree(apt)


def fetch_packages(folder):
    python = BUILD / "venv" / "bin" / "python"
    pip = [python if python.exists() else sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check",
           "--no-deps", "--no-compile", "--require-hashes", "--no-warn-conflicts", "--target", folder / "site"]
    platforms = ["--platform=manylinux2010_x86_64", "--platform=manylinux1_x86_64", "--platform=any"]
    say(*pip, "--python-version=27", "--implementation=cp", "--abi=cp27mu", "--abi=none", *platforms,
        "--only-binary=:all:", "-r", HERE / "requirements.txt")
    constraints = str(HERE / "build-constraints.txt")  # under its old name and its new one
    say(*pip, "--use-pep517", "-r", HERE / "requirements-source.txt",
        env=dict(os.environ, PIP_CONSTRAINT=constraints, PIP_BUILD_CONSTRAINT=constraints))


def interpreter():
    given = os.environ.get("THRUM_PYTHON27")
    return [given] if given else ["env", f"LD_LIBRARY_PATH={HOME}/root/usr/lib/x86_64-linux-gnu",
                                  str(HOME / "root" / "usr" / "bin" / "python2.7")]


def make():
    """Returns the command that runs suite.py, or raises Unavailable."""
    stamp = HOME / "pins"
    command = [*interpreter(), "-W", "ignore", str(HERE / "suite.py"), str(HOME / "site")]
    if stamp.exists() and stamp.read_text(encoding="utf-8") == pins():
        return command
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    try:
        if not os.environ.get("THRUM_PYTHON27"):
            fetch_interpreter(HOME)
        fetch_packages(HOME)
        say(*command, "--check")
    except (OSError, subprocess.TimeoutExpired, StopIteration) as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    stamp.write_text(pins(), encoding="utf-8")
    return command

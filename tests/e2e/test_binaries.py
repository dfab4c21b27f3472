"""Where the programs of a test cluster come from; with a Go that only pretends, so that nothing is built."""

import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import binaries
import pytest
from binaries import RECIPES, BuildFailed, Unavailable

PRETEND_TO_BUILD = """#!/bin/sh
echo "$@" >> {log}
while [ "$1" != -o ]; do shift; done
mkdir -p "$(dirname "$2")"
sleep 0.2
printf '#!/bin/sh\\n' > "$2"
chmod +x "$2"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and neither Go nor given folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in binaries.GIVEN_FOLDERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    (tmp_path / "path").mkdir()
    return tmp_path / "cache" / "leadtime"


def install_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put this script into PATH as `go`; returns the log it may write its arguments to."""
    log = tmp_path / "go.log"
    program = tmp_path / "path" / "go"
    program.write_text(script.format(log=log))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return log


def test_without_go_and_without_binaries_it_says_so_and_how_to_help(cache: Path) -> None:
    with pytest.raises(Unavailable, match=r"^etcd: Go is not in PATH .*; install Go, or put it in .*LEADTIME_E2E_BIN$"):
        binaries.binaries("etcd")
    with pytest.raises(Unavailable, match=r"^prometheus: not in PATH; install the package"):
        binaries.binaries("prometheus")
    assert not cache.exists()


@pytest.mark.parametrize("variable", binaries.GIVEN_FOLDERS)
@pytest.mark.usefixtures("cache")
def test_a_given_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "etcd").touch(mode=0o755)
    monkeypatch.setenv(variable, str(given))
    assert binaries.binaries("etcd") == {"etcd": given / "etcd"}
    monkeypatch.setenv(variable, str(given / "etcd"))
    with pytest.raises(NotADirectoryError, match=f"^{variable}: was .*/etcd, must be a folder"):
        binaries.binaries("etcd")


def test_each_is_built_once_also_when_several_ask_at_a_time(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = install_go(tmp_path, monkeypatch, PRETEND_TO_BUILD)
    with ThreadPoolExecutor(4) as pool:
        paths = {asked.result()["etcd"] for asked in [pool.submit(binaries.binaries, "etcd") for _ in range(4)]}
    assert paths == {cache / f"etcd-{RECIPES['etcd'].cache_key()}" / "etcd"}
    assert len(log.read_text().splitlines()) == 1
    assert "e2e: building etcd v3.6.5" in capfd.readouterr().err
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {f"etcd-{RECIPES['etcd'].cache_key()}"}


@pytest.mark.usefixtures("cache")
def test_a_failed_build_quotes_go_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_go(tmp_path, monkeypatch, "#!/bin/sh\necho 'go.mod requires go >= 1.26' >&2; exit 1\n")
    with pytest.raises(BuildFailed, match=r"(?s)^etcd: `go build .*` failed:\ngo.mod requires go >= 1.26"):
        binaries.binaries("etcd")
    install_go(tmp_path, monkeypatch, PRETEND_TO_BUILD)
    assert binaries.binaries("etcd")["etcd"].is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_a_module_and_a_version(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.version().startswith("v")
    assert f'_ "{recipe.package}"' in recipe.go_mod().with_name("tools.go").read_text()
    checked: Sequence[str] = recipe.go_mod().with_name("go.sum").read_text().splitlines()
    assert any(line.startswith(f"{recipe.upstream} {recipe.version()} h1:") for line in checked)

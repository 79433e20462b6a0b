"""How each recipe is built and run. The working directory is a directory with all recipes, and with the library `litestream-vfs.so`."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

RECIPES = Path(__file__).resolve().parent.parent
# What is built, and kept between runs.
BUILT = Path(os.environ["RECIPES_TARGET"])
CARGO = ["cargo", "build", "--quiet", "--locked", "--manifest-path", "rust/Cargo.toml", "--target-dir", str(BUILT / "rust")]
# Debian's package of go-sqlite3 has neither go.mod nor SQLite itself.
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(BUILT / "go-cache")}
JARS = "/usr/share/java/sqlite-jdbc.jar:."


@dataclass
class Host:
    """A row of the table."""

    name: str
    recipe: str
    run: list[str]
    build: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def path(self):
        return RECIPES / self.recipe


def python(name, recipe):
    return Host(name, recipe, [sys.executable, recipe])


def php(name, recipe):
    # PHP loads from one directory only, and its API has no argument for the entry point.
    run = ["sh", "-c", f'exec php -d sqlite3.extension_dir="$PWD" {recipe}']
    return Host(name, recipe, run, environment={"LITESTREAM_DEFAULT_VFS": "1"})


def rust(name):
    return Host(name, f"rust/src/bin/{name}.rs", [str(BUILT / "rust/debug" / name)], CARGO)


HOSTS = [
    python("Python sqlite3", "python_sqlite3.py"),
    python("APSW", "python_apsw.py"),
    python("SQLAlchemy", "python_sqlalchemy.py"),
    python("pandas", "python_pandas.py"),
    python("sqlite-utils", "python_sqlite_utils.py"),
    python("DuckDB", "python_duckdb.py"),
    Host("C", "recipe.c", ["./recipe-c"], ["cc", "-Wall", "-Werror", "-o", "recipe-c", "recipe.c", "-lsqlite3"]),
    Host("Perl DBD::SQLite", "recipe.pl", ["perl", "recipe.pl"]),
    Host("Ruby sqlite3", "recipe.rb", ["ruby", "recipe.rb"]),
    php("PHP SQLite3", "sqlite3.php"),
    php("PHP PDO", "pdo.php"),
    Host("Go mattn/go-sqlite3", "recipe.go", ["./recipe-go"], ["go", "build", "-tags", "libsqlite3", "-o", "recipe-go", "recipe.go"], GO),
    rust("rusqlite"),
    rust("sqlx"),
    rust("diesel"),
    Host("Java sqlite-jdbc", "Recipe.java", ["java", "-cp", JARS, "Recipe"], ["javac", "-cp", JARS, "Recipe.java"]),
    Host("R RSQLite", "recipe.R", ["Rscript", "recipe.R"]),
]

"""Prints figures of the package's text: `python tests/architecture/figures.py [folder …]`."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "flask_lgprivacy"


def bound_names(tree: ast.AST) -> list[str]:
    """Every name that the code binds: definitions, parameters, variables, handlers."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.arg):
            names.append(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.append(node.name)
    return [
        name for name in names if name not in ("self", "cls", "_", "__") and not is_dunder(name)
    ]


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def figures(folder: Path) -> dict[str, float]:
    """The figures of one folder of Python files, by what they count."""
    texts = [path.read_text() for path in sorted(folder.rglob("*.py"))]
    trees = [ast.parse(text) for text in texts]
    lines = [line for text in texts for line in text.splitlines()]
    functions = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    names = [name for tree in trees for name in bound_names(tree)]
    lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    comments = sum(
        token.type == tokenize.COMMENT
        for text in texts
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )
    uses_of_any = sum(
        isinstance(node, ast.Name) and node.id == "Any" for tree in trees for node in ast.walk(tree)
    )
    return {
        "files": len(texts),
        "lines": len(lines),
        "longest file, lines": max(len(text.splitlines()) for text in texts),
        "functions": len(functions),
        "mean function, lines": round(sum(lengths) / len(lengths), 1),
        "names bound": len(names),
        "mean name, letters": round(sum(map(len, names)) / len(names), 2),
        "mean of different names, letters": round(sum(map(len, set(names))) / len(set(names)), 2),
        "lines over 100 columns": sum(len(line) > 100 for line in lines),
        "uses of Any": uses_of_any,
        "comments": comments,
    }


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]] or [PACKAGE]
    columns = [figures(folder) for folder in folders]
    for name in columns[0]:
        print(f"{name:36}" + "".join(f"{column[name]:>12}" for column in columns))

"""Mutants of a right answer: one small change each, as a learner's slip would make it.

Mutation testing (DeMillo, Lipton and Sayward 1978), turned on the checker of an exercise: whatever
computes something else must be refused, and the refusal should name the mistake.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.Pow: (ast.Mult,),
}
_FUNCTIONS = {"min": "max", "max": "min", "maximum": "minimum"}


@dataclass(frozen=True)
class Mutant:
    """One change of a source: the line that it stands on (from 1), in words, and the new source."""

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of one function: operators, bounds, signs, names, order, a missing return.

    >>> for mutant in mutants("def f(a, b):\\n    return a - 1"):
    ...     print(mutant.line, mutant.change)
    2 return a - 1 → a - 1
    2 a - 1 → a + 1
    2 a → b
    2 1 → 2
    2 1 → 0
    """
    tree = ast.parse(source)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]
    texts = sorted(
        {
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    )

    for parent in ast.walk(function):
        for holder, key, child in _children(parent):
            for new in _changed(child, names, texts):
                before = ast.unparse(child)
                _put(holder, key, new)
                yield Mutant(child.lineno, f"{before} → {ast.unparse(new)}", ast.unparse(tree))
                _put(holder, key, child)


def _children(parent: ast.AST) -> Iterator[tuple[object, str | int, ast.expr | ast.stmt]]:
    """Expressions and statements below a node, each with where it is kept; no annotations."""
    for field, value in ast.iter_fields(parent):
        if field in ("args", "returns", "decorator_list") and isinstance(parent, ast.FunctionDef):
            continue
        if isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, ast.expr | ast.stmt):
                    yield value, index, child
        elif isinstance(value, ast.expr | ast.stmt):
            yield parent, field, value


def _put(holder: object, key: str | int, node: ast.AST) -> None:
    if isinstance(holder, list):
        holder[key] = node  # type: ignore[index]
    else:
        setattr(holder, str(key), node)


def _changed(node: ast.AST, names: list[str], texts: list[str]) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    match node:
        case ast.Return(value=ast.expr() as value):
            yield ast.Expr(value)
        case ast.Compare(left=left, ops=[*ops], comparators=comparators):
            for index, old in enumerate(ops):
                for new in _COMPARISONS.get(type(old), ()):
                    yield ast.Compare(left, [*ops[:index], new(), *ops[index + 1 :]], comparators)
        case ast.BinOp(left=left, op=op, right=right):
            for new in _OPERATORS.get(type(op), ()):
                yield ast.BinOp(left, new(), right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield operand
        case ast.IfExp(test=test, body=body, orelse=other):
            yield ast.IfExp(test, other, body)
        case ast.Call(func=function, args=[first, second, *rest], keywords=keywords):
            yield ast.Call(function, [second, first, *rest], keywords)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=str() as value) if len(texts) > 1 and value:
            yield ast.Constant(texts[(texts.index(value) + 1) % len(texts)])
        case ast.Name(id=name, ctx=ast.Load()) if name in names and len(names) > 1:
            yield ast.Name(names[(names.index(name) + 1) % len(names)], ast.Load())
        case ast.Name(id=name) if name in _FUNCTIONS:
            yield ast.Name(_FUNCTIONS[name], ast.Load())
        case ast.Attribute(value=value, attr=name, ctx=ast.Load()) if name in _FUNCTIONS:
            yield ast.Attribute(value, _FUNCTIONS[name], ast.Load())

"""ValidatingAdmissionPolicies: what is denied, by expressions of CEL as far as comparisons go. Pure.

After k8s.io/apiserver/pkg/admission/plugin/policy/validating. An expression is read as Python's grammar has it, once
`&&`, `||` and `!` are its words, and only these parts of it are understood: fields of `object` and `oldObject`,
literals, `==` and its like, `in`, `has(…)`. Anything else is an error, which denies, as `failurePolicy: Fail` does.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from rehearsal.api.refusals import Refusal, denied_by_policy
from rehearsal.api.resources import NAMESPACES, POLICIES, POLICY_BINDINGS, Resource
from rehearsal.api.storage import Key, Storage
from rehearsal.objects import Document, labels_of, name_of, namespace_of

_WORDS = ((r"&&", " and "), (r"\|\|", " or "), (r"!(?!=)", " not "), (r"\btrue\b", "True"), (r"\bfalse\b", "False"))
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
}


class ExpressionError(Exception):
    """An expression is not understood, or asks for what is not there."""


class Write(NamedTuple):
    """A write that is about to be done: the object before it, None if it is created, and after it."""

    resource: Resource
    old: Document | None
    new: Document


def denial(storage: Storage, write: Write) -> Refusal | None:
    """Return how a write is denied by the first policy that does, None if none does."""
    for binding in storage.all(POLICY_BINDINGS).values():
        policy = storage.get(POLICIES, Key("", binding["spec"]["policyName"]))
        denies = "Deny" in binding["spec"]["validationActions"]
        if policy is None or not (denies and _selects(storage, binding, write) and _concerns(policy, write)):
            continue
        for message, reason in _violations(policy, write):
            bound = name_of(policy), name_of(binding)
            return denied_by_policy(write.resource, name_of(write.new), bound, message, reason)
    return None


def _selects(storage: Storage, binding: Document, write: Write) -> bool:
    selector = ((binding["spec"].get("matchResources") or {}).get("namespaceSelector") or {}).get("matchLabels") or {}
    namespace = storage.get(NAMESPACES, Key("", namespace_of(write.new))) or {"metadata": {}}
    return bool(selector.items() <= dict(labels_of(namespace)).items())


def _concerns(policy: Document, write: Write) -> bool:
    operation = "CREATE" if write.old is None else "UPDATE"
    return any(
        write.resource.group in rule["apiGroups"]
        and write.resource.plural in rule["resources"]
        and {operation, "*"} & set(rule["operations"])
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
    )


def _violations(policy: Document, write: Write) -> Iterator[tuple[str, str]]:
    for validation in policy["spec"]["validations"]:
        expression = validation["expression"]
        try:
            holds = evaluate(expression, {"object": write.new, "oldObject": write.old})
        except ExpressionError as error:
            yield f"expression '{expression}' resulted in error: {error}", "Invalid"
            continue
        if not holds:
            message = validation.get("message") or f"failed expression: {expression}"
            yield message, validation.get("reason") or "Invalid"


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """Return what an expression is.

    Raises:
        ExpressionError: it is not understood, or asks for a field that is not there.
    """
    text = expression
    for pattern, word in _WORDS:
        text = re.sub(pattern, word, text)
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, variables)
    except SyntaxError as error:
        raise ExpressionError(f"not understood: {expression}") from error


def _value(node: ast.expr, variables: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return _part(variables, name)
        case ast.Attribute(of, name):
            return _part(_value(of, variables), name)
        case ast.Subscript(of, ast.Constant(key)):
            return _part(_value(of, variables), str(key))
        case ast.UnaryOp(ast.Not(), of):
            return not _value(of, variables)
        case ast.BoolOp(word, parts):
            return (all if isinstance(word, ast.And) else any)(_value(part, variables) for part in parts)
        case ast.Compare(left, [comparison], [right]) if type(comparison) in _COMPARISONS:
            return _COMPARISONS[type(comparison)](_value(left, variables), _value(right, variables))
        case ast.Call(ast.Name("has"), [part]):
            return _has(part, variables)
    raise ExpressionError(f"not understood: {ast.unparse(node)}")


def _has(part: ast.expr, variables: Mapping[str, Any]) -> bool:
    try:
        return _value(part, variables) is not None
    except ExpressionError:
        return False


def _part(of: Any, name: str) -> Any:
    if not isinstance(of, Mapping) or name not in of:
        raise ExpressionError(f"no such key: {name}")
    return of[name]

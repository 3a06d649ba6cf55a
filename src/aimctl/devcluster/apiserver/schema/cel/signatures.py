"""The functions, methods and operators of the API server's dialect of CEL, with their types.

Contract: :func:`overloads` returns the overloads of a name. A single capital letter is any type, the same one in the
whole overload.

Source: answers of Kubernetes 1.36 to rules that use each function with wrong types.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import final

__all__ = ["Overload", "Type", "overloads"]

Type = str | tuple["Type", ...] | object
"""A name (``int``), a name with parameters (``("list", "int")``), or a variable or object of the checker."""

_TABLE = """
_==_(A,A)bool _!=_(A,A)bool !_(bool)bool -_(int)int -_(double)double _?_:_(bool,A,A)A
@in(A,list(A))bool @in(A,map(A,B))bool
_[_](list(A),int)A _[_](map(A,B),A)B _[_](optional_type(list(A)),int)optional_type(A)
_[_](optional_type(map(A,B)),A)optional_type(B)
_[?_](list(A),int)optional_type(A) _[?_](map(A,B),A)optional_type(B)
_[?_](optional_type(list(A)),int)optional_type(A) _[?_](optional_type(map(A,B)),A)optional_type(B)
_+_(int,int)int _+_(uint,uint)uint _+_(double,double)double _+_(string,string)string _+_(bytes,bytes)bytes
_+_(list(A),list(A))list(A) _+_(timestamp,duration)timestamp _+_(duration,timestamp)timestamp
_+_(duration,duration)duration
_-_(int,int)int _-_(uint,uint)uint _-_(double,double)double _-_(timestamp,timestamp)duration
_-_(timestamp,duration)timestamp _-_(duration,duration)duration
_*_(int,int)int _*_(uint,uint)uint _*_(double,double)double
_/_(int,int)int _/_(uint,uint)uint _/_(double,double)double
_%_(int,int)int _%_(uint,uint)uint
size(string)int size(bytes)int size(list(A))int size(map(A,B))int
string.size()int bytes.size()int list(A).size()int map(A,B).size()int
type(A)type(A) dyn(A)dyn
int(int)int int(uint)int int(double)int int(string)int int(timestamp)int int(duration)int
uint(uint)uint uint(int)uint uint(double)uint uint(string)uint
double(double)double double(int)double double(uint)double double(string)double
bool(bool)bool bool(string)bool bytes(bytes)bytes bytes(string)bytes
string(string)string string(bool)string string(int)string string(uint)string string(double)string
string(bytes)string string(timestamp)string string(duration)string string(net.IP)string string(net.CIDR)string
timestamp(timestamp)timestamp timestamp(string)timestamp timestamp(int)timestamp
duration(duration)duration duration(string)duration duration(int)duration
string.contains(string)bool string.startsWith(string)bool string.endsWith(string)bool
string.matches(string)bool matches(string,string)bool
duration.getHours()int duration.getMinutes()int duration.getSeconds()int duration.getMilliseconds()int
string.charAt(int)string string.indexOf(string)int string.indexOf(string,int)int
string.lastIndexOf(string)int string.lastIndexOf(string,int)int string.lowerAscii()string string.upperAscii()string
string.trim()string string.replace(string,string)string string.replace(string,string,int)string
string.split(string)list(string) string.split(string,int)list(string)
string.substring(int)string string.substring(int,int)string string.format(list(dyn))string
list(string).join()string list(string).join(string)string strings.quote(string)string
string.find(string)string string.findAll(string)list(string) string.findAll(string,int)list(string)
list(A).indexOf(A)int list(A).lastIndexOf(A)int
list(A).slice(int,int)list(A) list(list(A)).flatten()list(A) list(dyn).flatten(int)list(dyn)
list(A).distinct()list(A) list(A).reverse()list(A) list(A).first()optional_type(A) list(A).last()optional_type(A)
lists.range(int)list(int)
sets.contains(list(A),list(A))bool sets.equivalent(list(A),list(A))bool sets.intersects(list(A),list(A))bool
optional.of(A)optional_type(A) optional.ofNonZeroValue(A)optional_type(A) optional.none()optional_type(A)
optional_type(A).hasValue()bool optional_type(A).value()A optional_type(A).orValue(A)A
optional_type(A).or(optional_type(A))optional_type(A)
optional.unwrap(list(optional_type(A)))list(A) list(optional_type(A)).unwrapOpt()list(A)
url(string)kubernetes.URL isURL(string)bool kubernetes.URL.getScheme()string kubernetes.URL.getHost()string
kubernetes.URL.getHostname()string kubernetes.URL.getPort()string kubernetes.URL.getEscapedPath()string
kubernetes.URL.getQuery()map(string,list(string))
quantity(string)kubernetes.Quantity isQuantity(string)bool kubernetes.Quantity.isInteger()bool
kubernetes.Quantity.asInteger()int kubernetes.Quantity.asApproximateFloat()double sign(kubernetes.Quantity)int
kubernetes.Quantity.add(kubernetes.Quantity)kubernetes.Quantity kubernetes.Quantity.add(int)kubernetes.Quantity
kubernetes.Quantity.sub(kubernetes.Quantity)kubernetes.Quantity kubernetes.Quantity.sub(int)kubernetes.Quantity
kubernetes.Quantity.compareTo(kubernetes.Quantity)int kubernetes.Quantity.isGreaterThan(kubernetes.Quantity)bool
kubernetes.Quantity.isLessThan(kubernetes.Quantity)bool
ip(string)net.IP isIP(string)bool ip.isCanonical(string)bool net.IP.family()int net.IP.isUnspecified()bool
net.IP.isLoopback()bool net.IP.isLinkLocalMulticast()bool net.IP.isLinkLocalUnicast()bool
net.IP.isGlobalUnicast()bool
cidr(string)net.CIDR isCIDR(string)bool net.CIDR.ip()net.IP net.CIDR.prefixLength()int net.CIDR.masked()net.CIDR
net.CIDR.containsIP(string)bool net.CIDR.containsIP(net.IP)bool net.CIDR.containsCIDR(string)bool
net.CIDR.containsCIDR(net.CIDR)bool
semver(string)kubernetes.Semver semver(string,bool)kubernetes.Semver isSemver(string)bool isSemver(string,bool)bool
kubernetes.Semver.major()int kubernetes.Semver.minor()int kubernetes.Semver.patch()int
kubernetes.Semver.isLessThan(kubernetes.Semver)bool kubernetes.Semver.isGreaterThan(kubernetes.Semver)bool
kubernetes.Semver.compareTo(kubernetes.Semver)int
format.named(string)optional_type(kubernetes.NamedFormat)
kubernetes.NamedFormat.validate(string)optional_type(list(string))
"""
_COMPARED = ("bool", "string", "bytes", "timestamp", "duration")
_NUMBERS = ("int", "uint", "double")
_SORTED = ("int", "uint", "double", *_COMPARED)
_TIMES = (
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours"),
    *("getMinutes", "getSeconds", "getMilliseconds"),
)
_FORMATS = (
    *(
        "dns1123Label",
        "dns1123Subdomain",
        "dns1035Label",
        "qualifiedName",
        "dns1123LabelPrefix",
        "labelValue",
    ),
    *("dns1123SubdomainPrefix", "dns1035LabelPrefix", "uri", "uuid", "byte", "date", "datetime"),
)
_FAMILIES = (
    *(f"_{sign}_({kind},{kind})bool" for sign in ("<", "<=", ">", ">=") for kind in _COMPARED),
    *(f"_{sign}_({a},{b})bool" for sign in ("<", "<=", ">", ">=") for a in _NUMBERS for b in _NUMBERS),
    *(f"list({kind}).isSorted()bool" for kind in _SORTED),
    *(f"list({kind}).{name}(){kind}" for kind in _SORTED for name in ("min", "max")),
    *(f"list({kind}).sum(){kind}" for kind in (*_NUMBERS, "duration")),
    *(f"list({kind}).sort()list({kind})" for kind in _SORTED),
    *(f"timestamp.{name}({zone})int" for name in _TIMES for zone in ("", "string")),
    *(f"format.{name}()kubernetes.NamedFormat" for name in _FORMATS),
)
_QUALIFIED = re.compile(r"(strings|lists|sets|optional|format|ip)\.\w+(?=\()")
_WORD = re.compile(r"[\w.]+")


@final
@dataclass(frozen=True, slots=True)
class Overload:
    """The types of one overload; the target is None if it is not a method."""

    target: Type | None
    args: tuple[Type, ...]
    result: Type


@functools.cache
def _sources() -> dict[str, list[tuple[str, str]]]:
    """The target and the parameters with the result of each overload, by name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for source in (*_TABLE.split(), *_FAMILIES):
        target, name, rest = _split(source)
        found.setdefault(name, []).append((target, rest))
    return found


def _split(source: str) -> tuple[str, str, str]:
    """Target, name, and the rest from the opening parenthesis on."""
    if source[0] in "_@!-":
        name = source[: source.index("(")]
        return "", name, source[len(name) :]
    found = _QUALIFIED.match(source)
    if found is not None:
        return "", found.group(), source[found.end() :]
    depth, dot = 0, -1
    for position, char in enumerate(source):
        depth += (char == "(") - (char == ")")
        if char == "." and depth == 0:
            dot = position
        elif char == "(" and depth == 1 and not _is_type(source[dot + 1 : position]):
            return source[: max(dot, 0)], source[dot + 1 : position], source[position:]
    raise ValueError(source)


def _is_type(name: str) -> bool:
    return name in ("list", "map", "optional_type")


@functools.cache
def overloads(name: str) -> tuple[Overload, ...]:
    """The overloads of a function, method or operator; empty if there is none."""
    found = []
    for target, rest in _sources().get(name, ()):
        args, end = _types(rest, 1)
        result, _ = _type(rest, end)
        found.append(Overload(_type(target, 0)[0] if target else None, args, result))
    return tuple(found)


def _type(source: str, position: int) -> tuple[Type, int]:
    word = _WORD.match(source, position)
    if word is None:
        raise ValueError(source)
    if source[word.end() : word.end() + 1] != "(":
        return word.group(), word.end()
    parameters, end = _types(source, word.end() + 1)
    return (word.group(), *parameters), end


def _types(source: str, position: int) -> tuple[tuple[Type, ...], int]:
    """The types up to a closing parenthesis, and the position after it."""
    found: list[Type] = []
    while source[position] != ")":
        each, position = _type(source, position + (source[position] == ","))
        found.append(each)
    return tuple(found), position + 1

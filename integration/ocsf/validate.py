#!/usr/bin/env python3
"""Holds OCSF events to a compiled OCSF schema.

This is another reading of the schema than the program's own: it shares no code
and no generated facts with it, and knows nothing of how events are made. It
needs Python 3.9 and nothing else.

usage: validate.py SCHEMA.json FILE...

A file holds JSON lines, or documents, or arrays of events. Prints what is
wrong, each kind of mistake once with its count and an example, and ends with 1
if anything is. Warnings, which are not against the schema, count as nothing.
"""

import collections
import datetime
import ipaddress
import json
import re
import sys

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
MAX_STRING = 65535

# Texts that stand for no value.
NOTHING = {"-", "null", "none", "n/a", "undefined", "unknown", "(null)", "nil"}

# No factor but three kinds could satisfy it (OCSF 1.2 to 1.4).
WAIVED = {("auth_factor", "just_one")}


class Schema:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.raw = json.load(f)
        self.version = self.raw["version"]
        self.types = self.raw["dictionary"]["types"]["attributes"]
        self.objects = self.raw["objects"]
        self.by_uid = {c["uid"]: c for c in self.raw["classes"].values()}
        self.regex = {n: re.compile(t["regex"]) for n, t in self.types.items() if "regex" in t}


class Findings:
    def __init__(self):
        self.kinds = collections.OrderedDict()
        self.events = 0
        self.classes = collections.Counter()
        self.bad_events = 0

    def add(self, level, code, path, text, where):
        key = (level, code, re.sub(r"\[\d+\]", "[]", path), text if code != "value" else "")
        kind = self.kinds.setdefault(key, [0, where, path, text])
        kind[0] += 1


class Event:
    """Checks one event."""

    def __init__(self, schema, findings, where):
        self.s, self.f, self.where = schema, findings, where
        self.errors = 0
        self.profiles = set()
        self.cls = "?"

    def error(self, code, path, text):
        self.errors += 1
        self.f.add("error", code, self.cls + " " + path, text, self.where)

    def warn(self, code, path, text):
        self.f.add("warning", code, self.cls + " " + path, text, self.where)

    def check(self, e):
        if not isinstance(e, dict):
            self.error("event", "", "is no object")
            return
        uid = e.get("class_uid")
        c = self.s.by_uid.get(uid) if type(uid) is int else None
        if c is None:
            self.error("class", "class_uid", f"no class {uid!r}")
            return
        self.cls = c["name"]
        self.f.classes[c["name"]] += 1
        self.taxonomy(c, e)
        meta = e.get("metadata")
        listed = meta.get("profiles", []) if isinstance(meta, dict) else []
        if isinstance(listed, list):
            self.profiles = {p for p in listed if isinstance(p, str)}
            if len(self.profiles) != len(listed):
                self.error("profile", "metadata.profiles", "lists something twice, or not by name")
            for p in self.profiles - set(c["profiles"]):
                self.error("profile", "metadata.profiles", f"the class has no profile {p}")
        if isinstance(meta, dict) and meta.get("version") != self.s.version:
            self.error("version", "metadata.version", f"is {meta.get('version')!r}")
        self.object(c, e, "")
        self.profiles_used(c, e)
        self.observables(c, e)
        for k, v in e.get("unmapped", {}).items() if isinstance(e.get("unmapped"), dict) else []:
            if not isinstance(v, str):
                self.error("unmapped", "unmapped", "holds what is no text")
            if not k:
                self.warn("unmapped", "unmapped", "has an empty key")

    def taxonomy(self, c, e):
        activity = e.get("activity_id")
        if e.get("category_uid") != c["category_uid"]:
            self.error("taxonomy", "category_uid", f"is not {c['category_uid']}")
        if type(activity) is int and e.get("type_uid") != c["uid"] * 100 + activity:
            self.error("taxonomy", "type_uid", "is not class_uid * 100 + activity_id")
        attrs = c["attributes"]
        for name, want in (
            ("class_name", c["caption"]),
            ("category_name", attrs["category_uid"]["enum"][str(c["category_uid"])]["caption"]),
            ("type_name", attrs["type_uid"]["enum"].get(str(e.get("type_uid")), {}).get("caption")),
        ):
            if name not in e:
                self.warn("taxonomy", name, "is missing")
            elif e[name] != want:
                self.error("taxonomy", name, f"is not {want!r}")

    def applies(self, attr):
        return not attr.get("profiles") or bool(self.profiles & set(attr["profiles"]))

    def object(self, o, value, path):
        attrs = o["attributes"]
        if not value and path:
            self.warn("empty", path, "is an empty object")
        captions = {a["sibling"] for a in attrs.values() if a.get("sibling")}
        for name, v in value.items():
            at = f"{path}.{name}" if path else name
            if name not in attrs:
                self.error("unknown", at, f"{o['name']} has no such attribute")
                continue
            a = attrs[name]
            if not self.applies(a):
                self.error("profile", at, f"needs a profile: {', '.join(a['profiles'])}")
            if "@deprecated" in a:
                self.warn("deprecated", at, "is deprecated")
            self.attribute(a, v, at)
            if name not in captions and isinstance(v, str) and v.lower() in NOTHING and not at.startswith("observables"):
                self.warn("value", at, f"{v!r} says nothing")
        for name, a in attrs.items():
            if a["requirement"] == "required" and name not in value and self.applies(a):
                self.error("required", f"{path}.{name}" if path else name, "is required and missing")
        for kind, names in o.get("constraints", {}).items():
            have = [n for n in names if n in value]
            if (o["name"], kind) in WAIVED:
                continue
            if kind == "at_least_one" and not have or kind == "just_one" and len(have) != 1:
                self.error("constraint", path or "event", f"{o['name']} needs {kind} of {', '.join(names)}")
        self.siblings(attrs, value, path)
        self.twins(attrs, value, path)
        if o["name"] == "fingerprint":
            self.fingerprint(value, path)

    def attribute(self, a, v, path):
        if v is None:
            self.error("null", path, "is null")
            return
        if a.get("is_array"):
            if not isinstance(v, list):
                self.error("type", path, "is no list")
                return
            if not v:
                self.warn("empty", path, "is an empty list")
            for i, item in enumerate(v):
                self.value(a, item, f"{path}[{i}]")
            return
        if isinstance(v, list) and a["type"] != "json_t":
            self.error("type", path, "is a list")
            return
        self.value(a, v, path)

    def value(self, a, v, path):
        if a["type"] == "object_t":
            if not isinstance(v, dict):
                self.error("type", path, "is no object")
                return
            o = self.s.objects[a["object_type"]]
            if o["attributes"]:
                self.object(o, v, path)
            return
        self.typed(a["type"], v, path)
        enum = a.get("enum")
        if enum and not any(path.endswith(x) for x in ("class_uid", "category_uid", "type_uid")):
            key = v if isinstance(v, str) else str(v)
            if key not in enum or isinstance(v, bool):
                self.error("enum", path, f"{v!r} is none of its values")

    def typed(self, name, v, path):
        t = self.s.types[name]
        base = t.get("type", name)
        if base == "json_t":
            return
        if name == "datetime_t":
            self.datetime(v, path)
            return
        if name == "timestamp_t":
            self.timestamp(v, path)
            return
        if base in ("integer_t", "long_t"):
            if type(v) is not int:
                self.error("type", path, f"is no {name}")
                return
            low, high = t.get("range") or (INT32 if base == "integer_t" else INT64)
            if not low <= v <= high:
                self.error("range", path, f"is out of the range of {name}")
        elif base == "float_t":
            if type(v) not in (int, float):
                self.error("type", path, f"is no {name}")
        elif base == "boolean_t":
            if type(v) is not bool:
                self.error("type", path, f"is no {name}")
        elif base == "string_t":
            self.string(name, t, v, path)
        else:
            self.error("schema", path, f"unknown base {base}")

    def string(self, name, t, v, path):
        if not isinstance(v, str):
            self.error("type", path, f"is no {name}")
            return
        if len(v) > t.get("max_len", MAX_STRING):
            self.error("length", path, f"is longer than {name} takes")
        if name in self.s.regex and not self.s.regex[name].search(v):
            self.error("format", path, f"{v!r} is no {name}")
        if "\ufffd" in v:
            self.warn("text", path, "holds U+FFFD")
        if not v:
            self.warn("empty", path, "is empty text")
        elif v != v.strip():
            self.warn("text", path, "begins or ends with space")
        if name == "ip_t":
            try:
                ip = ipaddress.ip_address(v)
                if str(ip) != v and getattr(ip, "ipv4_mapped", None) is None:
                    self.warn("format", path, "is an address, but not as it is usually written")
            except ValueError:
                self.error("format", path, f"{v!r} is no address")

    def timestamp(self, v, path):
        if type(v) is not int:
            self.error("type", path, "is no timestamp_t")
        elif 0 < v < 10**11:
            self.error("time", path, "looks like seconds")
        elif v > 10**14:
            self.error("time", path, "looks like micro- or nanoseconds")
        elif v <= 0:
            self.warn("time", path, "lies before 1970")

    def datetime(self, v, path):
        if not isinstance(v, str) or not self.s.regex["datetime_t"].search(v):
            self.error("format", path, "is no datetime_t")
            return
        try:
            datetime.datetime.fromisoformat(v.replace("Z", "+00:00"))
        except ValueError:
            self.error("format", path, f"{v!r} is no time")

    def siblings(self, attrs, value, path):
        for name, a in attrs.items():
            sibling, enum = a.get("sibling"), a.get("enum")
            if not enum or not sibling or name not in value or name == "type_uid":
                continue
            at = f"{path}.{name}" if path else name
            ids, texts = value[name], value.get(sibling)
            if attrs.get(sibling, {}).get("type") not in ("string_t", None):
                continue
            if isinstance(ids, list):
                if not isinstance(texts, list) or len(ids) != len(texts):
                    self.error("sibling", at, f"{sibling} is not as long")
                    continue
                pairs = list(zip(ids, texts))
            else:
                pairs = [(ids, texts)]
            for i, text in pairs:
                caption = enum.get(str(i), {}).get("caption")
                if text is None:
                    self.warn("sibling", at, f"stands without {sibling}")
                elif i != 99 and caption is not None and text != caption:
                    self.error("sibling", at, f"{i} is {caption!r}, and {sibling} is {text!r}")
                elif i == 99 and text in (x["caption"] for k, x in enum.items() if k != "99"):
                    self.error("sibling", at, f"99, though {text!r} has an id")
                elif i == 99 and text == caption:
                    self.warn("sibling", at, "is 99, and the source's own value is not there")
        for name, v in value.items():
            for other, a in attrs.items():
                if a.get("sibling") == name and a.get("enum") and other not in value and attrs.get(name, {}).get("type") == "string_t":
                    self.error("sibling", f"{path}.{name}" if path else name, f"stands without {other}")

    def twins(self, attrs, value, path):
        for name, v in value.items():
            if not name.endswith("_dt") or name[:-3] not in attrs or name[:-3] not in value:
                continue
            at = f"{path}.{name}" if path else name
            try:
                t = datetime.datetime.fromisoformat(v.replace("Z", "+00:00"))
                ms = (t - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) / datetime.timedelta(milliseconds=1)
                if round(ms) != value[name[:-3]]:
                    self.error("twin", at, f"is another time than {name[:-3]}")
            except (ValueError, TypeError, AttributeError, OverflowError):
                pass  # said elsewhere

    def fingerprint(self, value, path):
        length = {1: 32, 2: 40, 3: 64}.get(value.get("algorithm_id"))
        v = value.get("value")
        if length and isinstance(v, str) and (len(v) != length or not re.fullmatch("[0-9a-fA-F]+", v)):
            self.warn("hash", path, f"{v!r} is no hash of algorithm {value.get('algorithm_id')}")

    def profiles_used(self, c, e):
        used = set()

        def walk(o, v):
            for name, x in v.items():
                a = o["attributes"].get(name)
                if a is None:
                    continue
                used.update(a.get("profiles") or [])
                if a["type"] == "object_t":
                    inner = self.s.objects[a["object_type"]]
                    for y in x if isinstance(x, list) else [x]:
                        if isinstance(y, dict):
                            walk(inner, y)

        walk(c, e)
        for p in self.profiles - used:
            self.warn("profile", "metadata.profiles", f"{p} is listed, and nothing of it is there")

    def observables(self, c, e):
        rows = e.get("observables")
        if not isinstance(rows, list):
            return
        seen = set()
        for i, row in enumerate(rows):
            if not isinstance(row, dict):
                continue
            key = (row.get("name"), row.get("type_id"), row.get("value"))
            if key in seen:
                self.error("observable", f"observables[{i}]", "is there twice")
            seen.add(key)
            name = row.get("name")
            if not isinstance(name, str):
                continue
            found = at_path(e, name.split("."))
            if not found:
                self.warn("observable", f"observables[{i}]", f"its name {name} leads to nothing")
            elif "value" in row and row["value"] not in [str(x) for x in found]:
                self.error("observable", f"observables[{i}]", f"{name} has another value")


def at_path(v, names):
    """All values at a dotted path, through lists."""
    if isinstance(v, list):
        return [x for y in v for x in at_path(y, names)]
    if not names:
        return [v]
    if isinstance(v, dict) and names[0] in v:
        return at_path(v[names[0]], names[1:])
    return []


class Duplicate(Exception):
    pass


def once(pairs):
    out = {}
    for k, v in pairs:
        if k in out:
            raise Duplicate(k)
        out[k] = v
    return out


def constant(name):
    raise ValueError(f"{name} is no JSON")


def documents(path):
    """The events of a file, each with where it stands."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    decoder = json.JSONDecoder(object_pairs_hook=once, parse_constant=constant)
    i, n = 0, 0
    while True:
        while i < len(text) and text[i].isspace():
            i += 1
        if i == len(text):
            return
        v, i = decoder.raw_decode(text, i)
        for e in v if isinstance(v, list) else [v]:
            n += 1
            yield e, f"{path}:{n}"


def main(args):
    if len(args) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    schema, findings = Schema(args[0]), Findings()
    for path in args[1:]:
        try:
            for e, where in documents(path):
                if path.endswith(".ocsf.json") and isinstance(e, dict) and "class_uid" not in e:
                    continue  # a case that is a dead letter
                findings.events += 1
                event = Event(schema, findings, where)
                event.check(e)
                findings.bad_events += event.errors > 0
        except (Duplicate, ValueError) as err:
            findings.bad_events += 1
            findings.add("error", "json", "", f"{type(err).__name__} {err}", path)
    errors = 0
    for (level, code, path, _), (count, where, full, text) in sorted(findings.kinds.items(), key=lambda k: (k[0][0], -k[1][0])):
        errors += count if level == "error" else 0
        print(f"{level} {code}: {path}: {text} ({count}x, {where})")
    print(f"OCSF {schema.version}: {findings.events} events, {findings.bad_events} bad, {errors} errors; classes {dict(findings.classes.most_common())}")
    return 1 if findings.bad_events else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

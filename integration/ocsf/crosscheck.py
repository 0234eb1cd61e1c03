#!/usr/bin/env python3
"""Holds what nagare makes of events to validators that are not nagare's.

 1. validate.py, which reads the compiled OCSF schema by itself;
 2. the JSON Schema of `nagare ocsf schema`, in a JSON Schema library;
 3. the JSON Schemas of a package that others publish (ocsf-json-schema).

Golden events that were damaged at random go through `nagare map --source ocsf`:
whatever comes in, what comes out must be valid.

Checked are the golden files of the mappings and what `nagare map` makes of the
events in ../shared/data, in OCSF 1.3.0 and brought down to 1.1.0. Events with
one thing broken show that the validators would have noticed.

usage: crosscheck.py NAGARE [--pip]

With --pip the libraries of 2 and 3 are put into a virtual environment in the
user's cache, and used from there. Where they, or ../shared, cannot be had it
says so and leaves that part out.
"""

import collections
import contextlib
import copy
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SHARED = os.path.join(os.path.dirname(ROOT), "shared")
VERSIONS = ("1.3.0", "1.1.0")
PACKAGES = ["jsonschema-rs==0.61.0", "ocsf-json-schema==1.2.0"]

sys.path.insert(0, HERE)
sys.dont_write_bytecode = True  # nothing is left behind in the tree
import validate  # noqa: E402


def use_venv():
    """Runs this program again in the virtual environment, if there can be one."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    venv = os.path.join(cache, "nagare", "crosscheck")
    python = os.path.join(venv, "bin", "python")
    if os.environ.get("NAGARE_CROSSCHECK_VENV"):
        return
    try:
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", venv], check=True, capture_output=True, timeout=120)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True, capture_output=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as err:
        print(f"no libraries from PyPI: {err}")
        return
    os.environ["NAGARE_CROSSCHECK_VENV"] = venv
    os.execv(python, [python, *sys.argv])


# Sources whose files are not JSON, or not recognised by what is in them.
BY_NAME = ("mail", "directory", "devices", "csv", "vpcflow", "datadog", "github")


def corpus():
    """The files of the corpus by source. Folders have the source that the Go
    test names; what is JSON is recognised by itself."""
    with open(os.path.join(ROOT, "integration", "corpus_test.go"), encoding="utf-8") as f:
        named = dict(re.findall(r'\{dir: "([^"]+)", source: "([^"]+)"', f.read()))
    data = os.path.join(SHARED, "data")
    groups = collections.defaultdict(list)
    for name in sorted(os.listdir(data)):
        source = named.get(name)
        for d, _, files in os.walk(os.path.join(data, name)):
            groups[source if source in BY_NAME else ""] += [os.path.join(d, f) for f in sorted(files) if f != "SOURCE.txt"]
    return groups


def mapped(nagare, version, out):
    """Maps the corpus into files of JSON lines, one a source. Loading the
    mappings takes longer than mapping, so there are few runs."""
    names, dead = [], 0
    for source, files in corpus().items():
        args = [nagare, "map", "--ocsf", version] + (["--source", source] if source else []) + files
        done = subprocess.run(args, capture_output=True)
        if done.returncode not in (0, 1):
            sys.exit(f"{' '.join(args[:6])}: exit {done.returncode}: {done.stderr.decode()[:500]}")
        dead += done.stderr.count(b": dead letter: ")
        names.append(os.path.join(out, f"{source or 'recognised'}.{version}.jsonl"))
        with open(names[-1], "wb") as f:
            f.write(done.stdout)
    print(f"corpus in {version}: {dead} dead letters, which are not looked at")
    return names


def goldens():
    base = os.path.join(ROOT, "ocsf", "mappings", "testdata")
    return sorted(os.path.join(d, f) for d, _, names in os.walk(base) for f in names if f.endswith(".ocsf.json"))


def events(files):
    for path in files:
        for e, where in validate.documents(path):
            if isinstance(e, dict) and "class_uid" in e:
                yield e, where


def own_reading(version, files, what):
    """Runs validate.py; prints errors, and warnings as one figure."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = validate.main([os.path.join(SHARED, "ocsf", f"schema-{version}.json"), *files])
    lines = text.getvalue().splitlines()
    warnings = [line for line in lines if line.startswith("warning")]
    for line in lines if "-v" in sys.argv else [line for line in lines if line.startswith("error")]:
        print("  " + line)
    print(f"{what}: validate.py: {lines[-1].split(';')[0]}, {len(warnings)} kinds of warnings")
    return code == 0


class JSONSchemas:
    """Validators of classes by JSON Schema."""

    def __init__(self, nagare, version):
        import jsonschema_rs
        import ocsf_json_schema

        self.nagare, self.version = nagare, version
        self.make = jsonschema_rs.Draft202012Validator
        self.theirs = ocsf_json_schema.OcsfJsonSchemaEmbedded(ocsf_json_schema.get_ocsf_schema(version=version))
        self.cache = {}

    def ours(self, e):
        key = e["class_uid"]
        if key not in self.cache:
            done = subprocess.run([self.nagare, "ocsf", "schema", str(key), "--json-schema", "--version", self.version], capture_output=True)
            self.cache[key] = self.make(json.loads(done.stdout)) if done.returncode == 0 else None
        return self.errors(self.cache[key], e)

    def others(self, e):
        profiles = e.get("metadata", {}).get("profiles", [])
        key = (e["class_uid"], tuple(profiles))
        if key not in self.cache:
            name = self.theirs.lookup_class_name_from_uid(class_uid=e["class_uid"])
            self.cache[key] = self.make(self.theirs_of(name, list(profiles)))
        # No factor can satisfy the just_one of auth_factor: waived.
        return [x for x in self.errors(self.cache[key], e) if not (x.startswith("auth_factors/") and "oneOf" in x)]

    def theirs_of(self, name, profiles):
        try:
            return self.theirs.get_class_schema(class_name=name, profiles=profiles)
        except ValueError:  # it looks extensions up without their prefix, and wants it
            return self.theirs.get_class_schema(class_name="win/" + name, profiles=profiles)

    @staticmethod
    def errors(validator, e):
        if validator is None:
            return ["no such class"]
        return ["/".join(map(str, x.instance_path)) + ": " + x.message[:200] for x in validator.iter_errors(e)]


def library(schemas, files, what):
    good = True
    for name, check in (("JSON Schema of nagare", schemas.ours), ("ocsf-json-schema", schemas.others)):
        found, example, n = collections.Counter(), {}, 0
        for e, where in events(files):
            n += 1
            for x in check(e):
                kind = (e["class_uid"], re.sub(r"\b\d+\b", "N", x))
                found[kind] += 1
                example.setdefault(kind, where)
        for kind, count in found.most_common(20):
            print(f"  error {kind[0]} {kind[1]} ({count}x, {example[kind]})")
        print(f"{what}: {name}: {n} events, {sum(found.values())} errors")
        good = good and not found
    return good


def setter(path, value):
    def f(e):
        *way, last = path.split(".")
        for name in way:
            e = e[int(name)] if isinstance(e, list) else e.setdefault(name, {})
        if value is None:
            del e[last]
        else:
            e[last] = value

    return f


# What is broken, and whether a JSON Schema can say so.
BROKEN = {
    "unknown attribute": (setter("usr_name", "x"), True),
    "unknown attribute below": (setter("user.mail", "x"), True),
    "text for a number": (setter("severity_id", "1"), True),
    "number for text": (setter("message", 3), True),
    "truth for a number": (setter("count", True), True),
    "list for a value": (setter("message", ["x"]), True),
    "value for a list": (setter("metadata.labels", "x"), True),
    "null": (setter("message", json.loads("null")), None),
    "no time": (setter("time", None), True),
    "no user": (setter("user", None), True),
    "no vendor": (setter("metadata.product.vendor_name", None), True),
    "empty user": (setter("user", {}), True),
    "neither service nor endpoint": (setter("service", None), True),
    "seconds": (setter("time", 1783040520), True),
    "microseconds": (setter("time", 1783040520000000), True),
    "id that is none": (setter("status_id", 7), True),
    "id of a list that is none": (setter("logon_type_id", 55), True),
    "33 bits": (setter("count", 2**32), True),
    "port": (setter("src_endpoint.port", 70000), True),
    "address": (setter("src_endpoint.ip", "192.0.2.1:443"), True),
    "address with letters": (setter("src_endpoint.ip", "host"), True),
    "mail address": (setter("user.email_addr", "sato at example.com"), True),
    "datetime": (setter("time_dt", "2026-07-03 01:02:00"), True),
    "another datetime": (setter("time_dt", "2026-07-03T01:02:01.000Z"), False),
    "type": (setter("type_uid", 300202), True),
    "category": (setter("category_uid", 4), True),
    "name of the class": (setter("class_name", "Logon"), True),
    "name of the type": (setter("type_name", "Authentication: Logoff"), False),
    "caption": (setter("status", "Failure"), False),
    "99 with a caption that has an id": (setter("status_id", 99), False),
    "profile not listed": (setter("cloud", {"provider": "AWS"}), True),
    "profile without its attribute": (setter("metadata.profiles", ["cloud", "datetime"]), True),
    "profile that is none": (setter("metadata.profiles", ["clowd", "datetime"]), None),
    "version": (setter("metadata.version", "1.2.0"), True),
    "observable": (setter("observables", [{"name": "user.name", "type_id": 4, "type": "User Name", "value": "ito"}]), False),
    "too long": (setter("message", "x" * 65536), True),
}

GOOD = {
    "activity_id": 1, "activity_name": "Logon", "category_uid": 3, "category_name": "Identity & Access Management", "class_uid": 3002,
    "class_name": "Authentication", "type_uid": 300201, "type_name": "Authentication: Logon", "severity_id": 1, "severity": "Informational",
    "status_id": 1, "status": "Success", "time": 1783040520000, "time_dt": "2026-07-03T01:02:00.000Z", "message": "signed in", "count": 1,
    "logon_type_id": 3, "logon_type": "Network", "service": {"name": "VPN"}, "src_endpoint": {"ip": "192.0.2.1", "port": 443},
    "user": {"name": "sato", "email_addr": "sato@example.com"},
    "metadata": {"version": "1.3.0", "uid": "1", "labels": ["a"], "profiles": ["datetime"], "product": {"name": "Test", "vendor_name": "Example"}},
    "observables": [{"name": "user.name", "type_id": 4, "type": "User Name", "value": "sato"}], "unmapped": {"a.b": "c"},
}


def noticed(schemas):
    """Breaks one thing at a time."""
    schema = validate.Schema(os.path.join(SHARED, "ocsf", "schema-1.3.0.json"))

    def errors(e):
        findings = validate.Findings()
        checked = validate.Event(schema, findings, "")
        checked.check(e)
        return checked.errors

    good = errors(GOOD) == 0 and (schemas is None or not schemas.ours(GOOD) + schemas.others(GOOD))
    if not good:
        print("  the good event is not good")
    for name, (break_it, by_schema) in BROKEN.items():
        e = copy.deepcopy(GOOD)
        if name == "null":
            e["message"] = None
        else:
            break_it(e)
        if not errors(e):
            print(f"  validate.py does not notice: {name}")
            good = False
        if schemas is not None and by_schema and not schemas.ours(e):
            print(f"  the JSON Schema does not notice: {name}")
            good = False
    print(f"{len(BROKEN)} broken events: {'each is noticed' if good else 'NOT each is noticed'}")
    return good


JUNK = [None, "", 0, 1, 99, -1, 7, 2**31, 2**63, 2**70, 1.5, True, "x", "-", "null", [], {}, [None], [1, "a"], {"a": 1}, "192.0.2.1", "::ffff:192.0.2.1",
        "fe80::1%eth0", "a@b", "a=b@example.com", "2026-01-01T00:00:00Z", "x" * 70, "\u00e9" * 66000, "\ud800", "\u0000", 1783040520, 1783040520000,
        1783040520000000, [[]], [{}], {"uid": 1}, {"name": ""}]


def damaged(path, count):
    """Writes golden events of which one to six places are something else."""
    rand = random.Random(count)
    schema = validate.Schema(os.path.join(SHARED, "ocsf", "schema-1.3.0.json"))
    all_events = [e for e, _ in events(goldens())]

    def places(v, at=()):
        for k, x in v.items() if isinstance(v, dict) else enumerate(v) if isinstance(v, list) else ():
            yield at + (k,)
            yield from places(x, at + (k,))

    def get(v, at):
        for k in at:
            v = v[k]
        return v

    with open(path, "w", encoding="utf-8") as f:
        for n in range(count):
            e = copy.deepcopy(rand.choice(all_events))
            e.pop("unmapped", None)
            for _ in range(rand.choice([1, 1, 2, 3, 6])):
                all_places = list(places(e))
                at = rand.choice(all_places)
                inside, what = get(e, at[:-1]), rand.random()
                if what < 0.3:
                    del inside[at[-1]]
                elif what < 0.7:
                    inside[at[-1]] = copy.deepcopy(rand.choice(JUNK))
                elif what < 0.85 and type(e.get("class_uid")) is int and e["class_uid"] in schema.by_uid:
                    e[rand.choice(list(schema.by_uid[e["class_uid"]]["attributes"]))] = copy.deepcopy(rand.choice(JUNK))
                else:
                    inside[at[-1]] = copy.deepcopy(get(e, rand.choice(all_places)))
            if isinstance(e.get("metadata"), dict):
                e["metadata"]["uid"] = f"damaged-{n}"
            f.write(json.dumps(e) + "\n")


# What a sender claims and is taken over: Other with a caption that has an id,
# a value of an observable, one time twice.
CLAIMS = re.compile("^(99, though|.* has another value|is another time|is there twice)")


def survives(nagare, version, out, count):
    source = os.path.join(out, "damaged.jsonl")
    damaged(source, count)
    done = subprocess.run([nagare, "map", "--source", "ocsf", "--ocsf", version, source], capture_output=True)
    if done.returncode not in (0, 1):
        sys.exit(f"map of damaged events: exit {done.returncode}: {done.stderr.decode()[:500]}")
    result = source + "." + version
    with open(result, "wb") as f:
        f.write(done.stdout)
    schema, findings = validate.Schema(os.path.join(SHARED, "ocsf", f"schema-{version}.json")), validate.Findings()
    n = 0
    for e, where in validate.documents(result):
        n += 1
        validate.Event(schema, findings, where).check(e)
    bad = {k: v for k, v in findings.kinds.items() if k[0] == "error" and not CLAIMS.match(v[3])}
    for (_, code, at, _), (times, where, _, text) in bad.items():
        print(f"  error {code}: {at}: {text} ({times}x, {where})")
    print(f"{count} damaged events in {version}: {n} came out, {sum(v[0] for v in bad.values())} errors")
    return not bad and n > count * 9 // 10


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    nagare = os.path.abspath(sys.argv[1])
    if not os.path.exists(os.path.join(SHARED, "ocsf", "schema-1.3.0.json")):
        print("skipped: ../shared/ocsf with the compiled schemas is not here")
        return 0
    if "--pip" in sys.argv:
        use_venv()
    began = time.time()
    schemas = {}
    try:
        schemas = {v: JSONSchemas(nagare, v) for v in VERSIONS}
    except ImportError as err:
        print(f"left out: JSON Schema libraries ({err}); run with --pip")
    good = noticed(schemas.get("1.3.0"))
    with tempfile.TemporaryDirectory(prefix="nagare-crosscheck-") as out:
        sets = [("1.3.0", "golden files", goldens())]
        if os.path.isdir(os.path.join(SHARED, "data")):
            sets += [(v, f"corpus in {v}", mapped(nagare, v, out)) for v in VERSIONS]
        else:
            print("left out: ../shared/data is not here")
        for v in VERSIONS:
            good = survives(nagare, v, out, 2000) and good
        for version, what, files in sets:
            good = own_reading(version, files, what) and good
            if schemas:
                good = library(schemas[version], files, what) and good
    print(f"{'good' if good else 'BAD'}, in {time.time() - began:.1f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""As much of JSON Schema (2020-12) as docs/netctl-openapi.json uses: whether a value is what a
schema says, and values that are and that are not."""
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
         "null": type(None)}
NO_RULES = {"description", "readOnly", "type", "$ref", "properties", "required", "const", "enum",
            "pattern", "minLength", "maxLength", "minimum", "maximum", "items", "maxItems", "allOf",
            "oneOf", "additionalProperties", "unevaluatedProperties"}


class Schemas:
    def __init__(self, document):
        self.document = document

    def named(self, name):
        return {"$ref": f"#/components/schemas/{name}"}

    def resolve(self, schema):
        """Without references: what a reference names, and what stands beside it."""
        at = schema
        while "$ref" in at:
            target = self.document
            for part in at["$ref"].split("/")[1:]:
                target = target[part]
            beside = {k: v for k, v in at.items() if k != "$ref"}
            both = {**target, **beside}
            for key in ("properties",):
                if key in target and key in beside:
                    both[key] = {**target[key], **beside[key]}
            if "required" in target and "required" in beside:
                both["required"] = target["required"] + beside["required"]
            at = both
        for rule in at:
            if rule not in NO_RULES and not rule.startswith("x-"):
                raise AssertionError(f"the schema has a rule that is not looked at: {rule}")
        return at

    # ---- is it what the schema says ----

    def wrong(self, schema, value, where="the body"):
        """What is wrong with it, "" = nothing."""
        s = self.resolve(schema)
        types = s.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(self.is_type(t, value) for t in types):
            return f"{where} is no {types}: {value!r:.80}"
        if "const" in s and (value != s["const"] or type(value) is not type(s["const"])):
            return f"{where} is not {s['const']!r}: {value!r:.80}"
        if "enum" in s and value not in s["enum"]:
            return f"{where} is none of {s['enum']}: {value!r:.80}"
        return (self.wrong_text(s, value, where) or self.wrong_number(s, value, where) or
                self.wrong_list(s, value, where) or self.wrong_object(s, value, where) or
                self.wrong_choice(s, value, where))

    @staticmethod
    def is_type(name, value):
        return isinstance(value, TYPES[name]) and not (name == "integer" and value in (True, False)
                                                       and isinstance(value, bool))

    @staticmethod
    def wrong_text(s, value, where):
        if isinstance(value, str):
            if "pattern" in s and not re.search(s["pattern"], value):
                return f"{where} does not match {s['pattern']}: {value!r:.80}"
            if not s.get("minLength", 0) <= len(value) <= s.get("maxLength", 1 << 40):
                return f"{where} has {len(value)} characters"
        return ""

    @staticmethod
    def wrong_number(s, value, where):
        if isinstance(value, int) and not isinstance(value, bool):
            if not s.get("minimum", value) <= value <= s.get("maximum", value):
                return f"{where} is out of bounds: {value}"
        return ""

    def wrong_list(self, s, value, where):
        if not isinstance(value, list):
            return ""
        if len(value) > s.get("maxItems", 1 << 40):
            return f"{where} has {len(value)} items"
        for i, one in enumerate(value):
            what = self.wrong(s["items"], one, f"{where}[{i}]") if "items" in s else ""
            if what:
                return what
        return ""

    def wrong_object(self, s, value, where):
        if not isinstance(value, dict):
            return ""
        known = s.get("properties", {})
        for name in s.get("required", []):
            if name not in value:
                return f"{where} has no {name}"
        for name, one in value.items():
            closed = (s.get("additionalProperties", True) is False or
                      s.get("unevaluatedProperties", True) is False)
            if name not in known and closed:
                return f"{where} has {name}, which is not known"
            what = self.wrong(known[name], one, f"{where}.{name}") if name in known else ""
            if what:
                return what
        return ""

    def wrong_choice(self, s, value, where):
        for one in s.get("allOf", []):
            what = self.wrong(one, value, where)
            if what:
                return what
        if "oneOf" in s:
            all_of_them = [self.wrong(one, value, where) for one in s["oneOf"]]
            if all_of_them.count("") != 1:
                return f"{where} is {all_of_them.count('')} of what it may be: {all_of_them}"
        return ""

    # ---- values ----

    def good(self, schema, paths):
        """Some that it may be. `paths`: of a kind of object (None = any), one that is there."""
        s = self.resolve(schema)
        if "const" in s:
            return [s["const"]]
        if "enum" in s:
            return list(s["enum"])
        if s.get("type") == "string":
            return self.good_text(s, paths)
        if s.get("type") == "integer":
            return [s.get("minimum", 0), s.get("maximum", 1)]
        if s.get("type") == "boolean":
            return [False, True]
        if s.get("type") == "array":
            inner = self.good(s["items"], paths) if s.get("maxItems", 1) > 0 else []
            return [[one] for one in inner] or [[]]
        if s.get("type") == "object":
            needed = {}
            for name in s.get("required", []):
                needed[name] = self.good(s["properties"][name], paths)[0]
            return [needed]
        return []

    @staticmethod
    def good_text(s, paths):
        candidates = ["10.201.0.9", "2001:db8::9", "10.202.0.1/24", "2001:db8:7::1/64",
                      "02:00:5e:00:00:01", "80", "x", "x" * min(64, s.get("maxLength", 64))]
        if s.get("pattern", "").find("(/") >= 0:
            candidates = []
            for kind in s.get("x-refers-to", [None]):
                candidates += paths(kind)
            candidates.append("ANY")
        return [c for c in candidates if re.search(s.get("pattern", ""), c)
                and len(c) <= s.get("maxLength", 1 << 40)]

    def bad(self, schema):
        """Some that it may not be: of another type, out of its bounds."""
        s = self.resolve(schema)
        types = s.get("type")
        if types is None and "const" in s:
            return ["no such thing", 7]
        bad = [one for name, one in (("string", "text"), ("integer", 7), ("boolean", True),
                                     ("array", []), ("object", {})) if name != types]
        bad.append(1.5)
        if types == "string":
            if "maxLength" in s:
                bad.append("/" + "x" * s["maxLength"])
            bad += ["\u00a7 no, neither"] if "pattern" in s or "enum" in s else []
            bad += [""] if "pattern" in s or "enum" in s or s.get("minLength", 0) > 0 else []
        if types == "integer":
            bad += [s["minimum"] - 1] if "minimum" in s else []
            bad += [s["maximum"] + 1] if "maximum" in s else []
        if types == "boolean" and "const" in s:
            bad.append(not s["const"])
        if types == "array" and s.get("maxItems", 1 << 40) < 2000:
            one = (self.good(s["items"], lambda kind: ["/infra"]) or [""])[0]
            bad.append([one] * (s["maxItems"] + 1))
        if types == "object":
            bad.append({"no_such_field": 1})
            for name in s.get("required", []):
                whole = self.good(s, lambda kind: ["/infra"])[0]
                bad.append({k: v for k, v in whole.items() if k != name})
        return [b for b in bad if self.wrong(schema, b)]

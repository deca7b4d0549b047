"""Reads what callgrind writes: who executed how many instructions, and who called whom."""
import collections
import os
import re

# The costs of a line of source. Its number may be relative to the line before: "+3", "-1", "*".
COST = re.compile(r"(?:[-+]?\d+|\*) (\d+)$")
NAMED = re.compile(r"(ob|fl|fi|fe|fn|cob|cfi|cfl|cfn)=\((\d+)\)(?: (.*))?$")

# Caller and callee take their names from one list; fi and fe tell of inlined code.
LIST = {"cob": "ob", "fi": "fl", "fe": "fl", "cfi": "fl", "cfl": "fl", "cfn": "fn"}

Place = collections.namedtuple("Place", "object file function")
Call = collections.namedtuple("Call", "caller_object caller object function")


class Malformed(Exception):
    """The file is not what callgrind writes."""


def plain_object(path):
    """/usr/lib/libmicrohttpd.so.12.60.0 is libmicrohttpd, and what belongs to no file "unknown"."""
    return "unknown" if path == "???" else re.sub(r"\.so[.\d]*$", "", os.path.basename(path))


def plain_function(name):
    """Without the version of the symbol, what the compiler added and the depth of a recursion."""
    return re.sub(r"(@.*|\.(part|constprop|isra|cold)\b.*|'\d+)$", "", name)


class Profile:
    """instructions, by Place, without those of callees; calls, by Call."""

    def __init__(self, path):
        self.path = path
        self.instructions = collections.Counter()
        self.calls = collections.Counter()
        self.names = {}
        self.current = {}
        with open(path, encoding="utf-8") as lines:
            total = self.read(line.rstrip("\n") for line in lines)
        if total != sum(self.instructions.values()):
            raise Malformed(f"{path}: the instructions do not add up to the total")
        self.see_through_stubs()

    def read(self, lines):
        total = None
        for line in lines:
            cost, named = COST.match(line), NAMED.match(line)
            if cost:
                self.instructions[self.place()] += int(cost.group(1))
            elif named:
                self.take_name(*named.groups())
            elif line.startswith("calls="):
                self.calls[self.call()] += int(line.removeprefix("calls=").split()[0])
                next(lines)  # what the callee took, which is counted there
            elif line.startswith("totals: "):
                total = int(line.removeprefix("totals: "))
        return total

    def take_name(self, position, number, name):
        key = LIST.get(position, position), number
        if name is not None:
            self.names[key] = name
        if key not in self.names:
            raise Malformed(f"{self.path}: {position}=({number}) has no name")
        self.current[position if position.startswith("c") else key[0]] = self.names[key]

    def place(self):
        return Place(plain_object(self.current["ob"]), self.current["fl"],
                     plain_function(self.current["fn"]))

    def call(self):
        """Where cob is not told, the callee is in the caller's object."""
        callee_object = self.current.pop("cob", self.current["ob"])
        return Call(plain_object(self.current["ob"]), plain_function(self.current["fn"]),
                    plain_object(callee_object), plain_function(self.current["cfn"]))

    def see_through_stubs(self):
        """Some calls between objects go through a stub, which is of no object and has one goal."""
        goals = {call.caller: call for call in self.calls if call.caller_object == "unknown"}
        direct = collections.Counter()
        for call, count in self.calls.items():
            goal = goals.get(call.function) if call.object == "unknown" else None
            if goal:
                call = call._replace(object=goal.object, function=goal.function)
            if call.caller_object != "unknown":
                direct[call] += count
        self.calls = direct

    # --- questions ---------------------------------------------------------------------------

    def instructions_of(self, matches):
        return sum(count for place, count in self.instructions.items() if matches(place))

    def calls_between(self, caller, callee):
        return sum(count for call, count in self.calls.items()
                   if (call.caller_object, call.object) == (caller, callee))

    def calls_to_libc(self, function):
        """Calls of the functions of libc that the pattern matches, by who is behind each. What libc
        calls itself counts for all that may have made it: better one too many than one too few."""
        found = collections.Counter()
        for call, count in self.calls.items():
            if call.object != "libc" or not function.fullmatch(call.function):
                continue
            if call.caller_object != "libc":
                found[call.caller_object, call.caller, call.function] += count
            elif not function.fullmatch(call.caller):
                for culprit in self.callers_of_libc(call.caller):
                    found[culprit.caller_object, culprit.caller, call.caller] += count
        return found

    def callers_of_libc(self, function):
        """The calls from elsewhere that lead to that function of libc."""
        seen, look, found = {function}, [function], []
        while look:
            callee = look.pop()
            for call in self.calls:
                if (call.object, call.function) != ("libc", callee):
                    continue
                if call.caller_object != "libc":
                    found.append(call)
                elif call.caller not in seen:
                    seen.add(call.caller)
                    look.append(call.caller)
        return found

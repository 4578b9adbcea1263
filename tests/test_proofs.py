# SPDX-License-Identifier: MIT
"""The core's functions of words are right for every word: proven by z3, for 64 and for 32 bits, from
translations that are themselves compared with the compiled functions (words.c) on half a million words
of each width.

A new function takes a translation and a line of FUNCTIONS here, a case in words.c, and a proof.
"""

import array
import random
import subprocess
import unittest

import z3

from support import CHILDREN

WORDS = 500_000 # of each width, in all functions together


class Number:
    """A word of known value, with C's operators for unsigned ones."""

    __slots__ = "bits", "value"

    def __init__(self, value, bits):
        self.bits = bits
        self.value = value & ((1 << bits) - 1)

    def of(self, value):
        return Number(value, self.bits)

    def __and__(self, other):
        return self.of(self.value & other.value)

    def __or__(self, other):
        return self.of(self.value | other.value)

    def __xor__(self, other):
        return self.of(self.value ^ other.value)

    def __invert__(self):
        return self.of(~self.value)

    def __add__(self, other):
        return self.of(self.value + other.value)

    def __sub__(self, other):
        return self.of(self.value - other.value)

    def __lshift__(self, count):
        return self.of(self.value << count)

    def __rshift__(self, count):
        return self.of(self.value >> count)

    def choose(self, one, other):
        """C's self ? one : other."""
        return one if self.value else other


class Symbol:
    """A word of any value, with the same operators: what z3 makes of them."""

    def __init__(self, term):
        self.bits = term.size()
        self.term = term

    def of(self, value):
        return Symbol(z3.BitVecVal(value, self.bits))

    def __and__(self, other):
        return Symbol(self.term & other.term)

    def __or__(self, other):
        return Symbol(self.term | other.term)

    def __xor__(self, other):
        return Symbol(self.term ^ other.term)

    def __invert__(self):
        return Symbol(~self.term)

    def __add__(self, other):
        return Symbol(self.term + other.term)

    def __sub__(self, other):
        return Symbol(self.term - other.term)

    def __lshift__(self, count):
        return Symbol(self.term << count)

    def __rshift__(self, count):
        return Symbol(z3.LShR(self.term, count))

    def choose(self, one, other):
        return Symbol(z3.If(self.term != 0, one.term, other.term))


# The translations, statement for statement; `count` is a Python number. What C does by a branch
# is a choice between the results of both ways.

def mask_runs_of_4(mask):
    runs2 = mask & mask >> 1
    return runs2 & runs2 >> 2


def runs_beyond_8(runs8, count):
    if count <= 16:
        return runs8 & runs8 >> count - 8
    runs = runs8 & runs8 >> 8
    length = 16
    if runs8.bits == 64:
        more = count - 16 if count < 32 else 16
        runs = runs & runs >> more
        length += more
    return runs & runs >> count - length


def run_step(mask, count, step):
    return mask & mask >> (count + (1 << step) - 1 >> step + 1)


def mask_runs_64(mask, count):
    if count <= 8:
        return run_step(run_step(run_step(mask, count, 0), count, 1), count, 2)
    runs4 = mask_runs_of_4(mask)
    return runs_beyond_8(runs4 & runs4 >> 4, count)


def mask_runs_32(mask, count):
    runs2 = mask & mask >> 1
    if count < 4:
        return mask if count == 1 else runs2 & runs2 >> count - 2
    runs4 = runs2 & runs2 >> 2
    if count <= 8:
        return runs4 & runs4 >> count - 4
    return runs_beyond_8(runs4 & runs4 >> 4, count)


def mask_runs(mask, count):
    return mask_runs_64(mask, count) if mask.bits == 64 else mask_runs_32(mask, count)


def lengthen(runs, length, *steps):
    """Calls of lengthen_run, one after the other. Each shifts by the length that those before it have
    found, so that it is taken for every length there may be."""
    if not steps:
        return runs.of(length)
    (more_runs, more), *rest = steps
    longer = runs & more_runs >> length
    return longer.choose(lengthen(longer, length + more, *rest), lengthen(runs, length, *rest))


def mask_longest_from_4(mask, runs4):
    runs2 = mask & mask >> 1
    runs8 = runs4 & runs4 >> 4
    runs6 = runs4 & runs2 >> 4
    below_8 = runs6.choose((runs6 & mask >> 6).choose(mask.of(7), mask.of(6)),
                           (runs4 & mask >> 4).choose(mask.of(5), mask.of(4)))
    runs16 = runs8 & runs8 >> 8
    runs32 = runs16 & runs16 >> 16 if mask.bits > 32 else mask.of(0)
    steps = (runs4, 4), (runs2, 2), (mask, 1)
    from_8 = runs32.choose(lengthen(runs32, 32, (runs16, 16), (runs8, 8), *steps),
                           runs16.choose(lengthen(runs16, 16, (runs8, 8), *steps),
                                         lengthen(runs8, 8, *steps)))
    return runs8.choose(from_8, below_8)


def mask_longest_below_4(mask):
    runs2 = mask & mask >> 1
    runs3 = runs2 & runs2 >> 1
    one, zero = mask.of(1), mask.of(0)
    if mask.bits == 64:
        return mask.choose(one, zero) + runs2.choose(one, zero) + runs3.choose(one, zero)
    return runs3.choose(mask.of(3), runs2.choose(mask.of(2), mask.choose(one, zero)))


def mask_longest(mask):
    runs4 = mask_runs_of_4(mask)
    return runs4.choose(mask_longest_from_4(mask, runs4), mask_longest_below_4(mask))


def lowest_bit(word):
    """What the compiler's builtin is to do."""
    return bit_at(word, range(word.bits - 1, -1, -1), 0)


def end_of(word):
    return bit_at(word, range(word.bits), 1)


def bit_at(word, places, more):
    """The last of the places at which a bit is set, and `more`."""
    found = word.of(0)
    for place in places:
        found = (word >> place & word.of(1)).choose(word.of(place + more), found)
    return found


def lowest_fit(mask, count):
    return lowest_bit(mask_runs(mask, count))


def in_each_byte(word, byte):
    return word.of(int.from_bytes([byte] * (word.bits // 8), "big"))


def bytes_at_least(x, bound):
    high = in_each_byte(x, 0x80)
    low_at_least = (x | high) - (bound & ~high)
    return ((x & ~bound) | (~(x ^ bound) & low_at_least)) & high


def bytes_max(x, y):
    high = bytes_at_least(x, y)
    mask = (high << 1) - (high >> 7)
    return (x & mask) | (y & ~mask)


# By their number in words.c: the function and what its second argument is.
FUNCTIONS = {1: (mask_runs_of_4, None), 2: (mask_runs, "count"), 3: (mask_longest, None),
             4: (lowest_fit, "count"), 5: (end_of, None), 6: (bytes_at_least, "word"), 7: (bytes_max, "word")}

SHARES = (5, 20, 20, 1, 1, 20, 20) # of the words drawn


def draw_word(source, bits):
    """One of long runs, of short ones, of bytes that are alike, or of anything."""
    words = [source.getrandbits(bits) for _ in range(3)]
    kind = source.randrange(5)
    if kind == 0:
        return words[0] | words[1] | words[2]
    if kind == 1:
        length = source.randrange(1, bits + 1)
        return (((1 << length) - 1) << source.randrange(bits) | words[0] & words[1] & words[2]) & ((1 << bits) - 1)
    if kind == 2:
        return words[0] & words[1]
    if kind == 3:
        return int.from_bytes([source.choice((0, 1, 0x7f, 0x80, 0xff, words[0] & 0xff)) for _ in range(bits // 8)], "big")
    return words[0]


def draw(source, bits):
    """A record for words.c: a call that the core may make."""
    [number] = source.choices(list(FUNCTIONS), SHARES)
    kind = FUNCTIONS[number][1]
    one = draw_word(source, bits)
    count = source.randrange(1, bits)
    if number == 4 and not mask_runs(Number(one, bits), count).value or number == 5 and not one:
        one = (1 << bits) - 1 # the lowest of none is not asked for
    return number, one, {"count": count, "word": draw_word(source, bits), None: 0}[kind]


def translated(number, one, other, bits):
    function, kind = FUNCTIONS[number]
    rest = {"count": [other], "word": [Number(other, bits)], None: []}[kind]
    return function(Number(one, bits), *rest).value


class Proofs:
    """For words of one width."""

    def assert_never(self, wrong, what):
        solver = z3.SolverFor("QF_BV")
        solver.add(wrong)
        self.assertEqual(solver.check(), z3.unsat, what)

    def setUp(self):
        self.mask = Symbol(z3.BitVec("mask", self.bits))
        self.other = Symbol(z3.BitVec("other", self.bits))
        # By their meaning: bit i of runs[count] is set if bits i to i + count - 1 of the mask are.
        self.runs = [None, self.mask.term]
        for count in range(2, self.bits + 1):
            self.runs.append(self.runs[-1] & z3.LShR(self.mask.term, count - 1))

    def test_the_translations_do_what_is_compiled(self):
        if not (CHILDREN / self.program).exists():
            self.skipTest(f"{self.program} was not built")
        source = random.Random(self.bits)
        records = [(0, 0, 0)] + [draw(source, self.bits) for _ in range(WORDS)]
        given = array.array("Q", [word for record in records for word in record])
        done = subprocess.run([CHILDREN / self.program], input=given.tobytes(), capture_output=True, check=True)
        answers = array.array("Q", done.stdout)
        self.assertEqual(len(answers), len(records))
        self.assertEqual(answers[0], self.bits)
        for record, answer in zip(records[1:], answers[1:]):
            if translated(*record, self.bits) != answer:
                self.fail(f"function {record[0]} of {record[1]:#x}, {record[2]:#x} is {answer:#x}")

    def test_runs_are_where_so_many_bits_begin(self):
        self.assert_never(mask_runs_of_4(self.mask).term != self.runs[4], "runs of 4")
        self.assert_never(z3.Or([mask_runs(self.mask, count).term != self.runs[count]
                                 for count in range(1, self.bits)]), "runs")

    def test_the_longest_is_as_long_as_a_run_and_none_is_longer(self):
        """But of a full word, which no leaf with a hole of its own is."""
        longest = mask_longest(self.mask).term
        wrong = [(self.runs[count] != 0) != z3.UGE(longest, count) for count in range(1, self.bits + 1)]
        self.assert_never(z3.And(~self.mask.term != 0, z3.Or(wrong)), "longest")

    def test_the_lowest_bit_is_set_and_none_below_it(self):
        """Of the runs of so many that is the lowest fit."""
        at = lowest_bit(self.mask).term
        below = (z3.BitVecVal(1, self.bits) << at) - 1
        wrong = z3.Or(z3.LShR(self.mask.term, at) & 1 == 0, self.mask.term & below != 0)
        self.assert_never(z3.And(self.mask.term != 0, wrong), "lowest bit")

    def test_the_end_is_after_a_set_bit_and_none_follows(self):
        end = end_of(self.mask).term
        wrong = z3.Or(z3.LShR(self.mask.term, end - 1) & 1 == 0, z3.LShR(self.mask.term, end) != 0)
        self.assert_never(z3.And(self.mask.term != 0, wrong), "end")

    def test_bytes_are_compared_each_by_itself(self):
        high = bytes_at_least(self.mask, self.other).term
        largest = bytes_max(self.mask, self.other).term
        for low in range(0, self.bits, 8):
            one, other, told, larger = (z3.Extract(low + 7, low, word)
                                        for word in (self.mask.term, self.other.term, high, largest))
            is_at_least = z3.UGE(one, other)
            self.assert_never(told != z3.If(is_at_least, z3.BitVecVal(0x80, 8), z3.BitVecVal(0, 8)), "bytes")
            self.assert_never(larger != z3.If(is_at_least, one, other), "bytes")


class Words64(Proofs, unittest.TestCase):
    bits = 64
    program = "words"


class Words32(Proofs, unittest.TestCase):
    bits = 32
    program = "words-32"


if __name__ == "__main__":
    unittest.main()

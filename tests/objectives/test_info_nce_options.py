"""Every option of info_nce, and combinations, against a slow reference in Python floats; laws, limits, gradients."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.data.batch import Block
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.info_nce import info_nce

EVERYTHING = {
    "focal_gamma": 0.5,
    "focal_renormalise": True,
    "tilt": 3.0,
    "curriculum": "curricular",
    "mix_pairs": 2,
    "mix_lists": 1,
    "guide": True,
    "guide_margin": 0.3,
    "block": 3,
    "query_query": True,
    "document_document": True,
    "margin": 0.4,
}
OPTIONS = [
    {"focal_gamma": 0.5},
    {"focal_gamma": 2.0, "focal_detach": True},
    {"focal_gamma": 0.5, "focal_renormalise": True},
    {"tilt": 4.0},
    {"tilt": 4.0, "document_document": True, "query_query": True},
    {"curriculum": "curricular"},
    {"mix_pairs": 1},
    {"mix_pairs": 3},
    {"mix_lists": 1},
    {"mix_pairs": 1, "mix_lists": 1, "document_document": True},
    {"guide": True},
    {"guide": True, "guide_margin": 0.2, "query_query": True, "document_document": True},
    {"block": 2},
    {"block": 4, "query_query": True, "document_document": True},
    {"focal_gamma": 0.5, "mix_pairs": 1, "mix_lists": 1, "margin": 0.1},
    {"tilt": 2.0, "curriculum": "curricular", "mix_pairs": 1},
    EVERYTHING,
]
NAMED = pytest.mark.parametrize("options", OPTIONS, ids=lambda each: " ".join(each))
MODULUS = 2**64


def slow_uniform(seed, *keys, salt):
    """SplitMix64 over Python's unbounded whole numbers."""
    state = 0
    for part in (seed, salt, *keys):
        state = ((state ^ part) + 0x9E3779B97F4A7C15) % MODULUS
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % MODULUS
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % MODULUS
        state ^= state >> 31
    return ((state >> 12) + 0.5) / 2**52


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(vector):
    length = math.sqrt(dot(vector, vector))
    return [x / length for x in vector]


class Slow:
    """info_nce a row, a positive and a candidate at a time. `still`: the vectors that stop-gradient parts see."""

    def __init__(self, queries, documents, batch, still=None, **options):
        self.batch, self.options = batch, {"temperature": 0.05, "focal_gamma": 0.0, "tilt": 0.0} | options
        self.moving = [[unit(v) for v in side.tolist()] for side in (queries, documents)]
        self.still = [[unit(v) for v in side.tolist()] for side in (still or (queries, documents))]
        self.index = batch.query_index.tolist()
        self.positives = [[x for x in row if x >= 0] for row in batch.positives.tolist()]
        self.negatives = [[x for x in row if x >= 0] for row in batch.negatives.tolist()]
        self.keys = [batch.queries.keys.tolist(), batch.documents.keys.tolist()]
        self.labels = [batch.queries.labels.tolist(), batch.documents.labels.tolist()]
        teachers = (batch.queries.teacher, batch.documents.teacher)
        self.guide = [[unit(v) for v in side.tolist()] for side in teachers] if options.get("guide") else None
        self.mean = None

    def cosine(self, vectors, row, positive, candidate):
        kind, number = candidate
        query = vectors[0][self.index[row]]
        if kind == "mix":
            return dot(query, unit(self.mixture(vectors, row, number)))
        if kind == "d-d":
            return dot(vectors[1][positive], vectors[1][number])
        return dot(query, vectors[kind == "d"][number])

    def allowed(self, row, positive):
        """The columns of a row's positive, mixed ones too."""
        o, count, result = self.options, [len(side) for side in self.moving], []
        everyone = {x for lists in (*self.positives, *self.negatives) for x in lists}
        for number in range(count[1]):
            mine = number in self.negatives[row]
            if number not in self.positives[row] and number in everyone:
                if (mine or self.batch.in_batch) and not self.banned(row, "d", number, mine):
                    result.append(("d", number))
                if o.get("document_document") and self.batch.in_batch and not self.banned(row, "d", number, mine):
                    result.append(("d-d", number))
        if o.get("query_query") and self.batch.in_batch:
            others = [n for n in range(count[0]) if n != self.index[row]]
            result += [("q", n) for n in others if not self.banned(row, "q", n, False)]
        result = [each for each in result if not self.too_near(row, positive, each)]
        if len(self.parents(row)) >= 2:
            result += [("mix", turn) for turn in range(o.get("mix_pairs", 0))]
            result += [("mix", "list")] * o.get("mix_lists", 0)
        return result

    def banned(self, row, kind, number, mine):
        side, rows = int(kind == "d"), range(len(self.index))
        key, label = self.keys[side][number], self.labels[side][number]
        own = [(0, self.index[row]), *((1, p) for p in self.positives[row])]
        if key in {self.keys[s][n] for s, n in own} or label in {self.labels[s][n] for s, n in own} - {-1}:
            return True
        if key in {self.keys[1][d] for r, d in self.batch.known.tolist() if r == row}:
            return True
        groups = self.batch.groups.tolist()

        def carried(other):
            if kind == "q":
                return self.index[other] == number
            return number in self.positives[other] + self.negatives[other]

        if groups[row] >= 0 and not mine and any(groups[other] == groups[row] and carried(other) for other in rows):
            return True
        size = self.options.get("block")
        if size and self.batch.in_batch:
            order = sorted(rows, key=lambda each: self.keys[0][self.index[each]])
            mates = [other for other in rows if order.index(other) // size == order.index(row) // size]
            return not any(carried(other) for other in mates)
        return False

    def too_near(self, row, positive, candidate):
        for name, vectors, margin in (
            ("margin", self.still, self.options.get("margin")),
            ("guide", self.guide, self.options.get("guide_margin", 0.0)),
        ):
            if self.options.get(name):
                best = max(self.cosine(vectors, row, None, ("d", p)) for p in self.positives[row])
                if self.cosine(vectors, row, positive, candidate) > best + margin:
                    return True
        return False

    def parents(self, row):
        """key -> document of the row's own negatives that are candidates."""
        found = {}
        for number in sorted(set(self.negatives[row]), reverse=True):  # the lowest input row has the last word
            if not self.banned(row, "d", number, True) and not self.too_near(row, None, ("d", number)):
                found[self.keys[1][number]] = number
        return found

    def mixture(self, vectors, row, turn):
        found, seed, asked = self.parents(row), self.batch.seed, self.keys[0][self.index[row]]
        if turn == "list":
            scores = [self.cosine(vectors, row, None, ("d", n)) / self.options["temperature"] for n in found.values()]
            shares = [math.exp(s) / sum(map(math.exp, scores)) for s in scores]
            return [sum(w * vectors[1][n][i] for w, n in zip(shares, found.values(), strict=True)) for i in self.axes()]
        first, second = sorted(found, key=lambda key: slow_uniform(seed, asked, key, salt=2 * turn))[:2]
        draws = [slow_uniform(seed, asked, first, second, each, salt=2 * turn + 1) for each in range(3)]
        share = sorted(draws)[1]
        return [share * vectors[1][found[first]][i] + (1 - share) * vectors[1][found[second]][i] for i in self.axes()]

    def axes(self):
        return range(len(self.moving[0][0]))

    def log_p(self, vectors, row, positive):
        o = self.options
        own, still = (self.cosine(each, row, None, ("d", positive)) for each in (vectors, self.still))
        total = 0.0
        for candidate in self.allowed(row, positive):
            s, constant = (self.cosine(each, row, positive, candidate) for each in (vectors, self.still))
            shaped = s * (self.mean + s) if self.mean is not None and constant > still else s
            total += math.exp(shaped / o["temperature"] + o["tilt"] * constant)
        own = math.exp(own / o["temperature"])
        return math.log(own / (own + total))

    def value(self):
        o, weights = self.options, self.batch.weights.tolist()
        terms = [
            (row, positive, weights[row] / sum(weights) / len(own))
            for row, own in enumerate(self.positives)
            for positive in own
        ]
        if o.get("curriculum"):
            self.mean = 0.01 * sum(w * self.cosine(self.still, row, None, ("d", p)) for row, p, w in terms)
        result, focal_mean = 0.0, 0.0
        for row, positive, weight in terms:
            log_p, still = self.log_p(self.moving, row, positive), self.log_p(self.still, row, positive)
            powers = [max(1 - math.exp(each), 1e-6) ** o["focal_gamma"] for each in (log_p, still)]
            result -= weight * powers[bool(o.get("focal_detach"))] * log_p
            focal_mean += weight * powers[1]
        return result / focal_mean if o.get("focal_renormalise") else result


@NAMED
@pytest.mark.parametrize("in_batch", [True, False])
def test_it_agrees_with_loops_over_python_floats(options, in_batch, batches):
    compared = 0
    for seed in range(6):
        queries, documents, batch = batches.trap(seed, in_batch=in_batch, distinct_queries="block" in options)
        try:
            fast = info_nce(queries, documents, replace(batch, state={}), temperature=0.2, **options)
        except NotEnoughData:
            continue
        slow = Slow(queries, documents, batch, temperature=0.2, **options)
        assert float(fast.value) == pytest.approx(slow.value(), abs=1e-9)
        compared += 1
    assert compared >= 3


@NAMED
def test_gradients_agree_with_differences_of_the_reference_its_constants_held(options, batches):
    queries, documents, batch = batches.trap(3, rows=4, width=3, distinct_queries="block" in options)
    vectors = [queries.clone().requires_grad_(), documents.clone().requires_grad_()]
    info_nce(*vectors, replace(batch, state={}), temperature=0.5, **options).value.backward()

    def value(side, place, step):
        moved = [queries.clone(), documents.clone()]
        moved[side].view(-1)[place] += step
        return Slow(*moved, batch, still=(queries, documents), temperature=0.5, **options).value()

    used = torch.cat([batch.positives, batch.negatives], dim=1).unique()
    places = [(0, place) for place in range(0, queries.numel(), 2)]
    places += [(1, int(number) * 3 + int(number) % 3) for number in used if number >= 0]
    for side, place in places:
        difference = (value(side, place, 1e-5) - value(side, place, -1e-5)) / 2e-5
        assert float(vectors[side].grad.view(-1)[place]) == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [each for each in OPTIONS if not each.keys() & {"tilt", "focal_detach", "curriculum", "focal_renormalise"}],
    ids=lambda each: " ".join(each),
)
def test_gradients_of_what_holds_no_constant_pass_gradcheck(options, batches):
    queries, documents, batch = batches.trap(3, rows=4, width=3)
    inputs = (queries.requires_grad_(), documents.requires_grad_())
    assert torch.autograd.gradcheck(lambda q, d: info_nce(q, d, batch, temperature=0.5, **options).value, inputs)


def outcome(queries, documents, batch, **options):
    """The value, or -1 where every row is masked: that too must not hang on the order."""
    try:
        return float(info_nce(queries, documents, replace(batch, state={}), **options).value)
    except NotEnoughData:
        return -1.0


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_and_of_negatives_and_of_documents_changes_nothing(batches, seed):
    queries, documents, batch = batches.trap(seed)
    rng = torch.Generator().manual_seed(seed)
    here = outcome(queries, documents, batch, **EVERYTHING)
    moved = batch.select(torch.randperm(len(batch), generator=rng))
    moved = replace(moved, negatives=moved.negatives.flip(1))
    assert outcome(queries, documents, moved, **EVERYTHING) == pytest.approx(here, abs=1e-9)
    order = torch.randperm(len(documents), generator=rng)
    place = torch.cat([order.argsort(), torch.tensor([-1])])  # absent stays absent
    own = moved.documents
    shuffled = replace(
        moved,
        documents=Block(own.rows[order], own.keys[order], own.labels[order], own.teacher[order]),
        positives=place[moved.positives],
        negatives=place[moved.negatives],
        known=torch.stack([moved.known[:, 0], place[moved.known[:, 1]]], dim=1),
    )
    assert outcome(queries, documents[order], shuffled, **EVERYTHING) == pytest.approx(here, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_second_copy_of_a_rows_negatives_mixes_nothing_new(batches, seed):
    """Copies under other places: columns of their own below the line, but no parents of their own."""
    queries, documents, batch = batches.trap(seed, doubled=False, in_batch=False)
    once = info_nce_parts(queries, documents, batch)
    own = batch.documents
    wider = replace(
        batch,
        documents=Block(
            torch.arange(2 * len(documents)), own.keys.repeat(2), own.labels.repeat(2), own.teacher.repeat(2, 1)
        ),
        negatives=torch.cat(
            [batch.negatives, torch.where(batch.negatives >= 0, batch.negatives + len(documents), -1)], dim=1
        ),
    )
    twice = info_nce_parts(queries, documents.repeat(2, 1), wider)
    assert torch.equal(once[1], twice[1])
    assert torch.allclose(once[0] * once[1], twice[0] * twice[1], atol=1e-12)


def info_nce_parts(queries, documents, batch):
    """Cosines of the mixed columns, and which rows have them."""
    from vecsmith.objectives.candidates import candidates
    from vecsmith.objectives.masks import Masks, mask
    from vecsmith.objectives.negative_mixing import mixed_columns

    switches = {"own_negatives": True, "other_positives": False, "other_negatives": False}
    table = candidates(queries, documents, batch, **switches, query_query=False, document_document=False)
    table = mixed_columns(mask(table, batch, Masks())[0], batch, 0.05, pairs=2, lists=1)
    if table.mixed is None:
        return torch.zeros(len(batch), 3, dtype=torch.float64), torch.zeros(len(batch), 3, dtype=torch.bool)
    return table.mixed, table.mixed_allowed


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_at_zero_and_beyond_every_option_is_plain(batches, seed):
    queries, documents, batch = batches.trap(seed)
    plain = outcome(queries, documents, batch)
    zeros = {"focal_gamma": 0.0, "tilt": 0.0, "mix_pairs": 0, "mix_lists": 0, "block": len(batch)}
    assert outcome(queries, documents, batch, **zeros) == pytest.approx(plain, abs=1e-6)
    assert outcome(queries, documents, batch, focal_gamma=1e-9) == pytest.approx(plain, abs=1e-6)
    assert outcome(queries, documents, batch, tilt=1e-9) == pytest.approx(plain, abs=1e-6)
    assert outcome(queries, documents, batch, guide=True, guide_margin=2.0) == pytest.approx(plain, abs=1e-6)


@NAMED
def test_one_row_is_enough_where_it_has_negatives_and_an_error_where_all_is_masked(options, batches):
    batch = batches.plain(1, negatives=3)
    sides = [Block(b.rows, b.keys, b.labels, torch.eye(4)[: len(b)]) for b in (batch.queries, batch.documents)]
    batch = replace(batch, queries=sides[0], documents=sides[1])
    queries, documents = torch.randn(1, 6, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    loose = {name: value for name, value in options.items() if name != "margin"}
    info_nce(queries, documents, replace(batch, state={}), **loose).value.backward()
    assert torch.isfinite(queries.grad).all()
    assert torch.isfinite(documents.grad).all()
    known = torch.stack([torch.zeros(4, dtype=torch.int64), torch.arange(4)], dim=1)
    with pytest.raises(NotEnoughData, match=r"all rows masked.*removed: .*3 by known"):
        info_nce(queries, documents, replace(batch, known=known, state={}), **(loose | {"document_document": False}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"focal_gamma": -1}, "focal gamma is -1"),
        ({"curriculum": "tilt"}, "a tilt that grows is tilt: {from: 0, to: 4}"),
        ({"curriculum": "hard"}, 'curriculum is "hard"; known: curricular'),
        ({"mix_pairs": -1}, "mix_pairs is -1 and mix_lists 0"),
        ({"mix_lists": 2}, "known: mix_pairs 0 or more, mix_lists 0 or 1"),
        ({"mix_lists": 1, "own_negatives": False}, "own_negatives is off"),
        ({"block": 0}, "block is 0; give a number of rows"),
        ({"guide": True}, r"guide needs its vectors of both sides .*teacher: MODEL"),
    ],
)
def test_an_option_out_of_its_range_says_what_was_expected(options, words, batches):
    batch = batches.plain(3, negatives=2)
    with pytest.raises(ValueError, match=words):
        info_nce(torch.randn(3, 4), torch.randn(9, 4), batch, **options)

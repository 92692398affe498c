import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import NotEnoughData
from vecsmith.forging.plan import Counts, Rates, make_plan

COUNTS = Counts(
    documents=10_000, train_pairs=7_000, dev_pairs=1_000, test_pairs=2_000, dev_documents=1_000, test_documents=2_000
)
FAST = Rates(documents_per_second=20_000, steps_per_second=20, batch_size=512, epochs=3)
SLOW = Rates(documents_per_second=100, steps_per_second=0.5, batch_size=32, epochs=1)


def test_a_fast_model_leaves_nothing_out():
    plan = make_plan(COUNTS, {"default": FAST}, minutes=10)
    assert plan.test_documents == 2_000
    assert plan.test_queries == 1_500
    assert plan.models[0].steps == 42  # ceil(3 x 7000 / 512)
    assert plan.left_out == ("500 of 2,000 test queries (a seeded sample of 1,500 is used)",
                             "500 of 1,000 dev queries (a seeded sample of 500 is used)")  # fmt: skip


def test_a_slow_model_scales_samples_and_steps_and_says_so():
    plan = make_plan(COUNTS, {"default": FAST, "big": SLOW}, minutes=0.5)
    assert plan.seconds <= 30
    big = plan.models[1]
    assert big.steps == 0
    assert any("fitting big: 3 steps fit in the time" in line for line in plan.left_out)
    assert any("test documents (a seeded sample" in line for line in plan.left_out)


def test_labels_are_judged_over_all_documents():
    plan = make_plan(COUNTS, {"default": FAST}, minutes=10, labelled_queries=212)
    assert plan.test_queries == 212
    assert plan.test_documents == 10_000


def test_fewer_than_ten_documents_is_an_error_and_ten_are_enough():
    few = Counts(documents=9, train_pairs=7, dev_pairs=1, test_pairs=1, dev_documents=1, test_documents=1)
    with pytest.raises(NotEnoughData, match="9 documents found; forge needs at least 10"):
        make_plan(few, {"default": FAST}, minutes=1)
    ten = Counts(documents=10, train_pairs=8, dev_pairs=1, test_pairs=1, dev_documents=1, test_documents=1)
    plan = make_plan(ten, {"default": FAST}, minutes=1)
    assert plan.models[0].steps == 0
    assert "8 training pairs; at least 64" in plan.left_out[0]


@given(
    minutes=st.floats(0.1, 60),
    speed=st.floats(10, 50_000),
    steps=st.floats(0.05, 50),
    pairs=st.integers(0, 200_000),
    documents=st.integers(10, 500_000),
)
def test_the_plan_keeps_within_its_time_and_its_source(minutes, speed, steps, pairs, documents):
    counts = Counts(documents, pairs, pairs // 10, pairs // 5, documents // 10, documents // 5)
    plan = make_plan(counts, {"m": Rates(speed, steps, 64, 2)}, minutes=minutes)
    least = 2 * (10 + 10) / speed  # the smallest judged sample is taken even where the time is too short for it
    assert plan.seconds <= minutes * 60 * 1.001 + least + 0.2
    assert plan.test_documents <= counts.test_documents
    assert plan.test_queries <= counts.test_pairs

"""Means of token vectors, against torch's embedding bag and a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.models.token_means import token_means

TABLE = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 90) | st.sampled_from([0, 1, 64, 65, 2_000]), max_size=12), seed=st.integers(0, 9)
)
def test_means_are_those_of_a_loop_and_of_torch(lengths, seed):
    lengths = np.array(lengths, dtype=np.int64)
    ids = np.random.default_rng(seed).integers(0, len(TABLE), int(lengths.sum()))
    found = token_means(TABLE, ids, lengths)
    ends = np.cumsum(lengths)
    slow = [
        TABLE[ids[end - length : end]].astype(np.float64).mean(axis=0) if length else np.zeros(7)
        for end, length in zip(ends, lengths, strict=True)
    ]
    np.testing.assert_allclose(found, np.reshape(slow, (-1, 7)), atol=1e-5)
    if len(lengths):
        offsets = torch.from_numpy(ends - lengths)
        bag = torch.nn.functional.embedding_bag(torch.from_numpy(ids), torch.from_numpy(TABLE), offsets, mode="mean")
        np.testing.assert_allclose(found, bag.numpy(), atol=1e-7)


def test_a_very_long_text_is_added_up_in_the_order_of_torch():
    ids = np.random.default_rng(1).integers(0, len(TABLE), 100_000)
    found = token_means(TABLE, ids, np.array([len(ids)]))
    bag = torch.nn.functional.embedding_bag(
        torch.from_numpy(ids), torch.from_numpy(TABLE), torch.tensor([0]), mode="mean"
    )
    np.testing.assert_allclose(found, bag.numpy(), atol=1e-7)


def test_half_precision_tables_are_summed_in_single_precision():
    ids = np.zeros(5_000, dtype=np.int64)
    half = np.full((1, 3), 0.1, dtype=np.float16)
    np.testing.assert_allclose(token_means(half, ids, np.array([5_000])), np.float32(half), rtol=1e-4)


def test_an_id_outside_the_table_is_an_error():
    with pytest.raises(IndexError):
        token_means(TABLE, np.array([50]), np.array([1]))

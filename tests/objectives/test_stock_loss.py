"""Every loss that sentence-transformers exports runs with the values of direct use, or is refused in words."""

import warnings
from dataclasses import replace

import pytest
import torch
from sentence_transformers import util
from sentence_transformers.sentence_transformer import losses

from vecsmith.errors import NotEnoughData, RecipeError
from vecsmith.objectives.stock_catalogue import REFUSED, RUN, check_stock_loss, made_loss, stock_needs, wants_buckets
from vecsmith.objectives.stock_loss import stock_loss

SIAMESE = losses.SiameseDistanceMetric
UNIT = torch.nn.functional.normalize
NO_LOSSES = {
    "BatchHardTripletLossDistanceFunction",
    "ContrastiveTensionDataLoader",
    "SiameseDistanceMetric",
    "TripletDistanceMetric",
}
pytestmark = pytest.mark.filterwarnings("ignore:The MultipleNegativesSymmetricRankingLoss is deprecated")


def sample(batches, rows=6, negatives=2, seed=0):
    """Rows of one positive and `negatives` negatives, with everything a loss may want."""
    rng = torch.Generator().manual_seed(seed)
    batch = batches.plain(rows, negatives)
    count = len(batch.documents)
    vectors = torch.randn(rows, 8, generator=rng), torch.randn(count, 8, generator=rng)
    teachers = torch.randn(rows, 8, generator=rng), torch.randn(count, 8, generator=rng)
    classes = torch.arange(rows) % 3
    documents = torch.full((count,), -1)
    documents[batch.positives[:, 0]] = classes
    scores = torch.rand(rows, 1 + negatives, generator=rng)
    scores[:, 0] = torch.arange(rows) % 2
    batch = replace(
        batch,
        queries=replace(batch.queries, labels=classes, teacher=teachers[0]),
        documents=replace(batch.documents, labels=documents, teacher=teachers[1]),
        scores=scores,
        teacher_scores=torch.rand(rows, 1 + negatives, generator=rng),
        weights=torch.ones(rows),
    )
    return *vectors, batch


def directly(name, queries, documents, batch, **options):
    """The loss itself, its columns and labels written out."""
    negatives = {"all": batch.negatives.shape[1], "one": 1, "none": 0}[RUN[name].negatives]
    places = [batch.positives[:, 0], *batch.negatives[:, :negatives].unbind(1)]
    columns = [UNIT(queries), *(UNIT(documents)[place] for place in places)]
    if name == "MegaBatchMarginLoss":
        return losses.MegaBatchMarginLoss(None, use_mini_batched_version=False).calculate_loss([[c] for c in columns])
    loss = getattr(losses, name)(None, **options)
    if RUN[name].labels == "classes":
        texts = torch.cat([columns[0], columns[1]])
        keys = torch.cat([batch.queries.keys, batch.documents.keys[batch.positives[:, 0]]])
        classes = torch.cat([batch.queries.labels] * 2)
        return loss.compute_loss_from_embeddings([texts[keys.argsort()]], classes[keys.argsort()])
    if RUN[name].labels == "vectors":
        teachers = [batch.queries.teacher, *(batch.documents.teacher[place] for place in places)]
        return loss.compute_loss_from_embeddings(columns, teachers)
    if name == "GlobalOrthogonalRegularizationLoss":
        return sum(loss.compute_loss_from_embeddings(columns).values())
    labels = {"grades": batch.scores[:, 0], "binary": batch.scores[:, 0], "rewards": batch.teacher_scores}
    return loss.compute_loss_from_embeddings(columns, labels.get(RUN[name].labels))


@pytest.mark.parametrize("name", losses.__all__)
def test_every_loss_is_run_with_the_values_of_direct_use_or_refused_in_words(batches, name):
    queries, documents, batch = sample(batches)
    if name in RUN:
        check_stock_loss(name)
        found = stock_loss(queries, documents, batch, name=name)
        assert torch.allclose(found.value, directly(name, queries, documents, batch), rtol=1e-5, atol=1e-7)
        assert found.parts["cut_positives"] == found.parts["left_out"] == 0
    elif name in REFUSED:
        with pytest.raises(RecipeError, match=f"stock_loss cannot run {name}: .{{30,}}"):
            check_stock_loss(name)
    else:
        assert name in NO_LOSSES
        with pytest.raises(RecipeError, match=f'"{name}" is no loss that stock_loss can run'):
            check_stock_loss(name)


@pytest.mark.parametrize("name", RUN)
def test_every_loss_has_a_gradient_and_no_parameters(batches, name):
    queries, documents, batch = sample(batches)
    queries.requires_grad_(True)
    stock_loss(queries, documents, batch, name=name).value.backward()
    assert torch.isfinite(queries.grad).all()
    assert not list(made_loss(name).parameters())


@pytest.mark.parametrize("name", RUN)
def test_the_order_of_rows_changes_nothing(batches, name):
    queries, documents, batch = sample(batches, seed=3)
    moved = batch.select(torch.randperm(6, generator=torch.Generator().manual_seed(0)))
    first, second = (stock_loss(queries, documents, each, name=name).value for each in (batch, moved))
    assert torch.allclose(first, second, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("MultipleNegativesRankingLoss", {"similarity_fct": "dot"}, {"similarity_fct": util.dot_score}),
        ("MultipleNegativesRankingLoss", {"scale": 7.0, "directions": ["query_to_doc", "query_to_query"]}, None),
        ("MarginMSELoss", {"similarity_fct": "cosine"}, {"similarity_fct": util.pairwise_cos_sim}),
        ("TripletLoss", {"distance_metric": "cosine"}, {"distance_metric": losses.TripletDistanceMetric.COSINE}),
        ("ContrastiveLoss", {"distance_metric": "euclidean"}, {"distance_metric": SIAMESE.EUCLIDEAN}),
        (
            "BatchHardTripletLoss",
            {"distance_metric": "cosine", "margin": 0.3},
            {"distance_metric": losses.BatchHardTripletLossDistanceFunction.cosine_distance, "margin": 0.3},
        ),
        ("EmbedDistillLoss", {"distance_metric": "l2"}, None),
    ],
)
def test_options_reach_the_loss_and_functions_go_by_name(batches, name, given, meant):
    queries, documents, batch = sample(batches)
    found = stock_loss(queries, documents, batch, name=name, options=given).value
    assert torch.allclose(found, directly(name, queries, documents, batch, **(meant or given)), rtol=1e-5)


def test_vectors_keep_their_length_where_asked(batches):
    queries, documents, batch = sample(batches)
    found = stock_loss(queries, documents, batch, name="TripletLoss", unit_length=False).value
    columns = [queries, documents[batch.positives[:, 0]], documents[batch.negatives[:, 0]]]
    assert torch.allclose(found, losses.TripletLoss(None).compute_loss_from_embeddings(columns, None))


def test_what_does_not_fit_the_columns_is_cut_and_counted(batches):
    queries, documents, batch = sample(batches, negatives=3)
    negatives = batch.negatives.clone()
    negatives[0, 0] = negatives[1, 2] = -1
    positives = torch.cat([batch.positives, negatives[:, 1:2]], dim=1)
    negatives[:, 1] = -1
    found = stock_loss(
        queries,
        documents,
        replace(batch, positives=positives, negatives=negatives, scores=None, teacher_scores=None),
        name="MultipleNegativesRankingLoss",
    )
    assert found.parts == {"cut_positives": 6.0, "cut_negatives": 4.0, "left_out": 0.0}


def test_the_positive_is_drawn_by_seed_and_keys_each_about_as_often(batches):
    queries, documents, batch = batches.trap(0, rows=40, doubled=False)
    batch = replace(batch, weights=torch.ones(40), positives=torch.arange(80).reshape(40, 2))
    values = [
        float(stock_loss(queries, documents, replace(batch, seed=seed), name="MegaBatchMarginLoss").value)
        for seed in (1, 1, 2)
    ]
    assert values[0] == values[1]
    assert values[0] != values[2]
    from vecsmith.objectives.stock_loss import drawn_positives

    drawn = torch.cat([drawn_positives(replace(batch, seed=seed)) for seed in range(50)])
    assert 0.45 < float(drawn.double().mean()) < 0.55


def test_rows_without_what_a_loss_needs_are_left_out_and_none_is_an_error(batches):
    queries, documents, batch = sample(batches)
    scores = batch.teacher_scores.clone()
    scores[2:] = torch.nan
    some = stock_loss(queries, documents, replace(batch, teacher_scores=scores), name="MarginMSELoss")
    assert some.parts["left_out"] == 4
    with pytest.raises(NotEnoughData, match="MarginMSELoss needs teacher_scores"):
        stock_loss(queries, documents, replace(batch, teacher_scores=None), name="MarginMSELoss")
    with pytest.raises(NotEnoughData, match="TripletLoss: none of 6 rows has what it needs: a positive, a negative"):
        stock_loss(queries, documents, replace(batch, negatives=torch.full((6, 2), -1)), name="TripletLoss")
    bare = replace(batch, queries=replace(batch.queries, teacher=None))
    with pytest.raises(NotEnoughData, match="MSELoss needs a teacher's vectors"):
        stock_loss(queries, documents, bare, name="MSELoss")
    unlabelled = replace(
        batch,
        queries=replace(batch.queries, labels=torch.full((6,), -1)),
        documents=replace(batch.documents, labels=torch.full((18,), -1)),
    )
    with pytest.raises(NotEnoughData, match="BatchHardTripletLoss needs texts with classes; the batch has 0"):
        stock_loss(queries, documents, unlabelled, name="BatchHardTripletLoss")


def test_what_the_batch_cannot_give_is_refused_in_words(batches):
    queries, documents, batch = sample(batches)
    with pytest.raises(ValueError, match="knows no weights of rows, and these differ"):
        stock_loss(queries, documents, replace(batch, weights=torch.rand(6)), name="TripletLoss")
    with pytest.raises(ValueError, match='its data say "in_batch: false"'):
        stock_loss(queries, documents, replace(batch, in_batch=False), name="MegaBatchMarginLoss")
    with pytest.raises(ValueError, match=r"ContrastiveLoss takes scores of 0 and 1; found 0\.5"):
        stock_loss(queries, documents, replace(batch, scores=batch.scores * 0.5), name="ContrastiveLoss")
    wide = replace(batch, queries=replace(batch.queries, teacher=torch.ones(6, 3)))
    with pytest.raises(ValueError, match="the teacher's have 3, the model's 8; use similarity_distillation"):
        stock_loss(queries, documents, wide, name="MSELoss")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("TripletLos", {}, 'no loss that stock_loss can run; did you mean "TripletLoss"'),
        ("TripletLoss", {"triplet_margn": 1}, '"triplet_margn" of TripletLoss; did you mean "triplet_margin"'),
        ("TripletLoss", {"distance_metric": "dot"}, r"distance_metric of TripletLoss is .dot. \(known: cosine"),
        ("MSELoss", {"projection_dim": 8}, "projection_dim of MSELoss has no meaning here: it would have parameters"),
        ("MultipleNegativesRankingLoss", {"scale": -1}, "refuses its options: Scale must be a positive"),
        ("MultipleNegativesRankingLoss", {"gather_across_devices": True}, "every rank sees the whole batch already"),
        ("MegaBatchMarginLoss", {"mini_batch_size": 4}, 'cached by the stage: "cache: 32"'),
    ],
)
def test_a_wrong_name_or_option_is_refused_before_training(name, options, words):
    with pytest.raises(RecipeError, match=words):
        check_stock_loss(name, options)


def test_in_batch_negatives_are_refused_before_training_where_the_data_forbid_them():
    check_stock_loss("TripletLoss", in_batch=False)
    with pytest.raises(RecipeError, match='the data say "in_batch: false"; use "info_nce"'):
        check_stock_loss("MultipleNegativesRankingLoss", in_batch=False)


def test_needs_and_buckets_are_known_by_name():
    assert stock_needs("MarginMSELoss") == ("positives", "negatives", "teacher_scores")
    assert stock_needs("CoSENTLoss") == ("positives", "scores")
    assert stock_needs("BatchAllTripletLoss") == ("label",)
    assert stock_needs("MSELoss") == ("teacher",)
    assert wants_buckets([{"info_nce": None}, {"stock_loss": {"name": "MultipleNegativesRankingLoss"}}])
    assert not wants_buckets([{"stock_loss": {"name": "CoSENTLoss"}}, {"info_nce": {}}])


def test_the_lists_of_what_runs_and_what_is_refused_name_every_loss_of_the_package():
    assert set(RUN) | set(REFUSED) | NO_LOSSES == set(losses.__all__)
    assert not set(RUN) & set(REFUSED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in RUN:
            made_loss(name)


def test_an_absent_positive_is_never_drawn_and_a_text_counts_once_by_key(batches):
    from vecsmith.objectives.stock_loss import drawn_positives

    queries, documents, batch = sample(batches)
    gap = torch.full((6, 5), -1)
    padded = replace(batch, positives=torch.cat([gap, batch.positives], dim=1), scores=None, teacher_scores=None)
    assert (drawn_positives(padded) == 5).all()
    keys = batch.documents.keys.clone()
    keys[batch.positives[:, 0]] = batch.queries.keys  # every positive is its own query
    same = replace(batch, documents=replace(batch.documents, keys=keys))
    found = stock_loss(queries, documents, same, name="BatchAllTripletLoss").value
    order = batch.queries.keys.argsort()
    alone = losses.BatchAllTripletLoss(None).compute_loss_from_embeddings([UNIT(queries)[order]], batch.queries.labels)
    assert torch.allclose(found, alone, rtol=1e-5)


def test_a_negative_without_a_teachers_score_is_cut(batches):
    queries, documents, batch = sample(batches)
    scores = batch.teacher_scores.clone()
    scores[:, 1] = torch.nan
    found = stock_loss(queries, documents, replace(batch, teacher_scores=scores), name="MarginMSELoss").value
    columns = [UNIT(queries), UNIT(documents)[batch.positives[:, 0]], UNIT(documents)[batch.negatives[:, 1]]]
    expected = losses.MarginMSELoss(None).compute_loss_from_embeddings(columns, scores[:, [0, 2]])
    assert torch.allclose(found, expected, rtol=1e-5)

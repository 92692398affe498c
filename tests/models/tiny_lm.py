"""A causal language model of 2 layers with random weights and a byte-level tokenizer made here: in a second."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = (
    "the cat sat on a warm stone wall and read about Paris, which is the capital of France. Question Answer Knowledge"
)


def write_lm(folder: Path, *, context: int = 256, seed: int = 0, kind: str = "llama") -> Path:
    """Weights, config and tokenizer; llama knows how far words are apart, gpt2 the place of each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS] * 3, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<end>", eos_token="<end>").save_pretrained(folder)
    torch.manual_seed(seed)
    words = tokenizer.get_vocab_size()
    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=4, n_positions=context,
                                           bos_token_id=0, eos_token_id=0))  # fmt: skip
    else:
        settings = LlamaConfig(vocab_size=words, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                               num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=context,
                               bos_token_id=0, eos_token_id=0)  # fmt: skip
        model = LlamaForCausalLM(settings)
    with torch.no_grad():  # the usual start is so small that all words look alike
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(8)
    model.save_pretrained(folder)
    return folder
